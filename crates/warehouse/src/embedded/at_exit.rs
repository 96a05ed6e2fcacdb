//! Ends the process without the engine's destructors: at `exit` they take apart what its own threads still use, and now
//! and then the process ends by a segmentation fault instead of its exit code. Called once the library is loaded.
//!
//! `exit` runs its handlers in the reverse order of their registration, and the engine registers some of its destructors
//! only when a function is called for the first time. So ours is registered as `exit` begins: by a thread-local
//! destructor of the main thread, which come before all handlers. `exit` on another thread meets the handler that was
//! registered with the loading, behind the destructors that came later.
//!
//! What is to be kept is on disk by then, and Rust has flushed its own output. Other C libraries than GNU's have no call
//! that tells the exit code to a handler, and nothing is done.

#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod gnu {
    use std::ffi::{c_int, c_void};
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicBool, Ordering};

    unsafe extern "C" {
        static __dso_handle: u8;
        fn __cxa_thread_atexit_impl(
            destructor: extern "C" fn(*mut c_void),
            object: *mut c_void,
            dso_handle: *const u8,
        ) -> c_int;
        fn on_exit(handler: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
        fn _exit(status: c_int) -> !;
    }

    static LIBRARY_LOADED: AtomicBool = AtomicBool::new(false);

    /// Runs on the main thread before `main`.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static BEFORE_MAIN: extern "C" fn() = {
        extern "C" fn register() {
            // SAFETY: registers a function of this program, which takes no object, with the program's own handle. Should
            // it be refused, the handler that comes with the loading is left.
            unsafe { __cxa_thread_atexit_impl(main_thread_exits, null_mut(), &raw const __dso_handle) };
        }
        register
    };

    extern "C" fn main_thread_exits(_: *mut c_void) {
        if LIBRARY_LOADED.load(Ordering::Relaxed) {
            register_first();
        }
    }

    extern "C" fn leave(status: c_int, _: *mut c_void) {
        // SAFETY: ends the process at once; nothing of it runs afterwards.
        unsafe { _exit(status) }
    }

    /// Puts [`leave`] before all handlers that are registered by now; false when there is no memory for it.
    fn register_first() -> bool {
        // SAFETY: registers a function that lives as long as the process and takes no argument.
        unsafe { on_exit(leave, null_mut()) == 0 }
    }

    pub(in super::super) fn skip_destructors() {
        LIBRARY_LOADED.store(true, Ordering::Relaxed);
        if !register_first() {
            tracing::warn!("the engine's destructors will run at the end of the process");
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) use gnu::skip_destructors;

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn skip_destructors() {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::ffi::c_int;
    use std::process::Command;

    const CHILD: &str = "EMBEDDED_AT_EXIT_CHILD";

    unsafe extern "C" {
        fn atexit(handler: extern "C" fn()) -> c_int;
    }

    extern "C" fn destructor() {
        std::process::abort();
    }

    /// Not a test by itself: the child ends with a destructor that was registered late, as the engine's lazy statics do.
    #[test]
    fn child() {
        if std::env::var_os(CHILD).is_some() {
            super::skip_destructors();
            // SAFETY: registers a function that lives as long as the process.
            assert_eq!(unsafe { atexit(destructor) }, 0);
        }
    }

    #[test]
    fn no_destructor_runs_however_late_it_was_registered() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "embedded::at_exit::tests::child"]).env(CHILD, "1");
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "what was printed is not lost");
    }
}
