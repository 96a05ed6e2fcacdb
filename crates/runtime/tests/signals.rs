//! A first signal asks, a second one ends. Signals go to a child: this test's own binary, run for one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use runtime::Shutdown;

const CHILD: &str = "RUNGS_TEST_SIGNALLED_CHILD";

/// Not a test of its own: what the others start. Ends at once when run without being asked for.
#[test]
fn the_child_that_is_signalled() {
    let Ok(on_first_signal) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().unwrap();
        println!("\nchild: waiting");
        shutdown.requested().await;
        println!("\nchild: asked");
        if on_first_signal == "hang" {
            std::future::pending::<()>().await;
        }
    });
}

struct Signalled {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Signalled {
    fn start(on_first_signal: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_child_that_is_signalled", "--nocapture"])
            .env(CHILD, on_first_signal)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut started = Self { child, lines };
        started.await_line("child: waiting");
        started
    }

    fn await_line(&mut self, expected: &str) {
        assert!(
            self.lines.any(|line| line.unwrap() == expected),
            "the child ended before it said {expected}"
        );
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    fn exit_code(mut self) -> Option<i32> {
        self.lines.by_ref().for_each(drop);
        self.child.wait().unwrap().code()
    }
}

#[test]
fn one_signal_lets_the_process_end_by_itself() {
    for signal in ["INT", "TERM"] {
        let mut child = Signalled::start("end");
        child.signal(signal);
        child.await_line("child: asked");
        assert_eq!(child.exit_code(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_at_once_with_its_own_code() {
    for (second, code) in [("INT", 130), ("TERM", 143)] {
        let mut child = Signalled::start("hang");
        child.signal("TERM");
        child.await_line("child: asked");
        child.signal(second);
        assert_eq!(child.exit_code(), Some(code));
    }
}
