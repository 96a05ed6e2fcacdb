//! Events over wall time and CPU time of a process, and the line in which a child process tells them.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::BenchError;
use crate::process::own_cpu;

/// A measurement under way.
pub(super) struct Begun {
    at: Instant,
    cpu: Duration,
}

/// How many events, in how much time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counted {
    pub(super) events: u64,
    pub(super) seconds: f64,
    /// CPU time of the process.
    pub(super) cpu_seconds: f64,
}

impl Counted {
    /// Begins to measure.
    pub(super) fn begin() -> Begun {
        Begun { at: Instant::now(), cpu: own_cpu() }
    }

    /// Events a second.
    pub(super) fn rate(&self) -> f64 {
        self.events as f64 / self.seconds.max(1e-9)
    }

    /// CPU microseconds an event.
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.events.max(1) as f64
    }

    /// Prints it for [`Counted::of`].
    pub(super) fn print(&self) {
        println!("{} {} {}", self.events, self.seconds, self.cpu_seconds);
    }

    /// What a child process of this program says of itself when it has ended.
    pub(super) fn of(arguments: &[&str]) -> Result<Self, BenchError> {
        let output = Command::new(std::env::current_exe()?).args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        Self::parse(&said).ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            BenchError::other(format!("{}: {said}{errors}", arguments.join(" ")))
        })
    }

    fn parse(said: &str) -> Option<Self> {
        let mut words = said.split_whitespace();
        let events = words.next()?.parse().ok()?;
        let (seconds, cpu_seconds) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { events, seconds, cpu_seconds })
    }
}

impl Begun {
    /// Ends the measurement.
    pub(super) fn end(self, events: u64) -> Counted {
        let (seconds, cpu) = (self.at.elapsed().as_secs_f64(), own_cpu() - self.cpu);
        Counted { events, seconds, cpu_seconds: cpu.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_is_understood() {
        let counted = Counted { events: 10, seconds: 2.0, cpu_seconds: 0.5 };
        assert_eq!(Counted::parse("10 2 0.5\n"), Some(counted));
        assert_eq!((counted.rate(), counted.cpu_us()), (5.0, 50_000.0));
        assert_eq!(Counted::parse("10 2"), None);
    }
}
