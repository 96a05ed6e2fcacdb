//! Ends the process without the engine's destructors: at `exit` they take apart what its own threads still use, and now
//! and then the process ends by a segmentation fault instead of its exit code. Called once the library is loaded.
//!
//! What is to be kept is on disk by then, and Rust has flushed its own output. Elsewhere than on Linux the C library has
//! no call that tells the exit code to a handler, and nothing is done.

#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{c_int, c_void};

    unsafe extern "C" {
        fn on_exit(handler: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
        fn _exit(status: c_int) -> !;
    }

    extern "C" fn leave(status: c_int, _: *mut c_void) {
        // SAFETY: ends the process at once; nothing of it runs afterwards.
        unsafe { _exit(status) }
    }

    /// Handlers run in the reverse order of their registration, so this one, which comes after the library's, runs first.
    pub(in super::super) fn skip_destructors() {
        // SAFETY: registers a function that lives as long as the process and takes no argument.
        if unsafe { on_exit(leave, std::ptr::null_mut()) } != 0 {
            tracing::warn!("the engine's destructors will run at the end of the process");
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::skip_destructors;

#[cfg(not(target_os = "linux"))]
pub(super) fn skip_destructors() {}
