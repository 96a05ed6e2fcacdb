//! Servers under load: started as processes of their own, watched through /proc, ended when dropped.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::BenchError;

/// Clock ticks a second in /proc (the kernel's USER_HZ, fixed for programs).
const TICKS_A_SECOND: u64 = 100;

/// A child process.
#[derive(Debug)]
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts a command; its standard output is ours to read.
    pub fn start(command: &mut Command) -> Result<Self, BenchError> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        Ok(Self { child })
    }

    /// The first line that it prints.
    pub fn first_line(&mut self) -> Result<String, BenchError> {
        let stdout = self.child.stdout.take().ok_or_else(|| BenchError::other("its output was taken"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// The address that it prints as its first line.
    pub fn first_address(&mut self) -> Result<SocketAddr, BenchError> {
        let line = self.first_line()?;
        line.parse().map_err(|_| BenchError::other(format!("no address: {line}")))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time that it used so far, over all threads.
    pub fn cpu(&self) -> Duration {
        cpu(self.pid())
    }

    /// Files and connections that it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        resident(&format!("/proc/{}/status", self.pid()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time that a process used so far, over all threads; none where there is no such process.
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    cpu_of(&stat).unwrap_or_default()
}

/// CPU time so far of those threads of a process whose names begin like this.
///
/// # Errors
/// There is no such process.
pub fn cpu_of_threads(pid: u32, name: &str) -> std::io::Result<Duration> {
    let mut cpu = Duration::ZERO;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        // One that ended meanwhile has no files.
        if std::fs::read_to_string(thread.join("comm")).unwrap_or_default().starts_with(name) {
            cpu += booked(&thread);
        }
    }
    Ok(cpu)
}

/// CPU time of a thread by its folder in /proc, as the kernel's scheduler booked it.
fn booked(thread: &Path) -> Duration {
    let text = std::fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}

/// User and system time from a line of /proc/PID/stat. The name before them may contain anything, also blanks.
fn cpu_of(stat: &str) -> Option<Duration> {
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND))
}

fn resident(status: &str) -> u64 {
    let status = std::fs::read_to_string(status).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// Resident memory of this process in bytes.
pub fn own_resident() -> u64 {
    resident("/proc/self/status")
}

/// CPU time of this process so far, over all threads.
pub fn own_cpu() -> Duration {
    cpu_of(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default()).unwrap_or_default()
}

/// CPU time of the calling thread, right to a few milliseconds: what a fold costs, however busy the machine is.
pub fn thread_cpu() -> Duration {
    booked(Path::new("/proc/thread-self"))
}

/// A loopback address whose port is free now.
pub fn free_address() -> Result<SocketAddr, BenchError> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_a_name_with_blanks_and_brackets() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 10";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_of("nonsense"), None);
    }

    #[test]
    fn this_process_has_memory_and_cpu_time() {
        assert!(own_resident() > 0);
        // The kernel adds up CPU time at its next tick.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while thread_cpu() == Duration::ZERO {
            assert!(std::time::Instant::now() < deadline, "no CPU time in ten seconds of work");
        }
    }
}
