//! One process of the cluster: a `rungs` command that can be killed, stopped, frozen and started again where it was. It
//! ends when the value is dropped, and also when the process of the tests does.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::root;

/// A start or an orderly end takes at most so long.
const LIMIT: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct Part {
    name: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// Flags and addresses; the system chooses the ports of the first start, later ones keep them.
    addresses: Vec<(&'static str, String)>,
    log: PathBuf,
    child: Option<Child>,
    /// Ends the process when the process of the tests has ended.
    watchdog: Option<Child>,
    /// Length of the log when the process was started.
    log_began: usize,
}

impl Part {
    /// Of a command; `addresses` are the flags of its addresses, in the order in which it says them.
    pub(crate) fn new(
        name: &str,
        arguments: &[&str],
        addresses: &[&'static str],
        environment: Vec<(&'static str, String)>,
        log: PathBuf,
    ) -> Self {
        Self {
            name: name.to_owned(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            environment,
            addresses: addresses.iter().map(|flag| (*flag, "127.0.0.1:0".to_owned())).collect(),
            log,
            child: None,
            watchdog: None,
            log_began: 0,
        }
    }

    /// Starts the process without waiting for it.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        self.log_began = self.said().len();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rungs"));
        command.current_dir(root()).args(&self.arguments);
        for (flag, address) in &self.addresses {
            command.args([flag, address.as_str()]);
        }
        command.envs(self.environment.iter().map(|(key, value)| (*key, value)));
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let script = format!("read -r _; kill -9 {}", child.id());
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.watchdog = Some(watchdog.spawn().unwrap());
        self.child = Some(child);
    }

    /// Waits until it has said its addresses.
    pub(crate) fn wait(&mut self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let said = self.said().split_off(self.log_began);
            // Log lines name addresses too, but begin with their time.
            let line = said.lines().find(|line| line.starts_with(['r', 'C']) && line.contains("http://"));
            if let Some(line) = line {
                let said =
                    line.split("http://").skip(1).map(|rest| rest.split([' ', ';', ',']).next().unwrap());
                for ((_, address), said) in self.addresses.iter_mut().zip(said) {
                    said.clone_into(address);
                }
                return;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{} {ended:?}\n{}", self.name, self.tail());
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait();
    }

    /// `host:port` of a flag's address.
    pub(crate) fn address(&self, flag: &str) -> &str {
        &self.addresses.iter().find(|(known, _)| *known == flag).unwrap().1
    }

    /// SIGKILL, whatever state it is in.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            child.wait().unwrap();
        }
        self.call_off();
    }

    /// SIGTERM and an orderly end; its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for its end; its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        let mut child = self.child.take().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                self.call_off();
                return status.code();
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("{} does not end\n{}", self.name, self.tail());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// SIGSTOP: its connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Resident memory, MiB.
    pub(crate) fn memory_mib(&self) -> u64 {
        let pid = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
    }

    /// Everything it has said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it has said.
    pub(crate) fn tail(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().filter(|line| !line.contains("Connection refused")).collect();
        format!("--- {}\n{}\n", self.name, lines[lines.len().saturating_sub(60)..].join("\n"))
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success(), "{}", self.name);
    }

    fn call_off(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.kill());
            drop(watchdog.wait());
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}
