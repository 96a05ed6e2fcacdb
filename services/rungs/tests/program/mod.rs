//! A running `rungs up` with its own data folder and plan file. Killed when dropped. [`answers`] asks it over HTTP,
//! [`expected`] computes what it must answer, [`sending`] has events for it, [`browser`] opens its page.
#![allow(dead_code)] // each test file uses its part

pub(crate) mod answers;
pub(crate) mod browser;
pub(crate) mod expected;
pub(crate) mod sending;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Everything here ends within this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(120);

/// Which column of the clickstream is what.
pub(crate) const CLICKSTREAM_COLUMNS: [&str; 8] = [
    "--visitor",
    "user_id",
    "--event",
    "event",
    "--time",
    "timestamp",
    "--property",
    "channel=acquisition_channel",
];

pub(crate) struct Program {
    child: Child,
    folder: Option<TempDir>,
    /// What it said so far.
    said: Arc<Mutex<String>>,
    pub(crate) console: String,
    pub(crate) collector: String,
    pub(crate) admin: String,
    pub(crate) clickhouse: String,
    ports: Ports,
}

/// A restart keeps the collector's port, which is part of an import's position.
#[derive(Clone)]
struct Ports {
    collector: String,
}

/// A program that was killed, with its data folder.
pub(crate) struct Killed {
    folder: TempDir,
    ports: Ports,
}

/// What a command printed.
pub(crate) struct Ended {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Runs a command to its end.
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            ok: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

impl Program {
    /// Starts with a copy of a plan.
    pub(crate) fn start(plan: &str) -> Self {
        Self::start_with(&std::fs::read_to_string(root().join(plan)).unwrap(), "")
    }

    /// Starts with the texts of a plan and of settings.
    pub(crate) fn start_with(plan: &str, settings: &str) -> Self {
        Killed::before_its_first_start(plan, settings).start()
    }

    fn start_in(folder: TempDir, ports: Ports) -> Self {
        let mut program = Self::spawn_in(folder, ports);
        program.wait_for_banner();
        program
    }

    fn spawn_in(folder: TempDir, ports: Ports) -> Self {
        let any = "127.0.0.1:0";
        let mut child = command()
            .args([
                "up",
                "--listen",
                &ports.collector,
                "--console",
                any,
                "--admin",
                any,
                "--clickhouse",
                any,
                "--plan",
            ])
            .arg(folder.path().join("plan.toml"))
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--settings")
            .arg(folder.path().join("rungs.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = listen(child.stderr.take().unwrap());
        Self {
            child,
            folder: Some(folder),
            said,
            console: String::new(),
            collector: String::new(),
            admin: String::new(),
            clickhouse: String::new(),
            ports,
        }
    }

    fn wait_for_banner(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while !self.said().contains("Ctrl-C stops it") {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = self.said();
        let address = |name: &str| {
            let line = said.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
            let start = line.find("http://").unwrap();
            line[start..].split([' ', '/']).nth(2).map(|host| format!("http://{host}")).unwrap()
        };
        (self.console, self.collector, self.admin) =
            (address("live page"), address("events"), address("metrics"));
        self.clickhouse = address("ClickHouse");
        self.ports.collector = self.collector.replace("http://", "");
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Runs a command of the same binary; its import positions are this program's own.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments))
    }

    /// As [`Program::run`], to be run later, whatever becomes of this process.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        command.env("XDG_STATE_HOME", self.path().join("state")).args(arguments);
        command
    }

    pub(crate) fn plan(&self, arguments: &[&str]) -> Ended {
        self.run(&[&["plan", "--admin", &self.admin], arguments].concat())
    }

    /// Imports the shop's clickstream, or a file like it.
    pub(crate) fn import(&self, file: &str, more: &[&str]) -> Ended {
        self.import_with(file, &[&CLICKSTREAM_COLUMNS[..], more].concat())
    }

    pub(crate) fn import_with(&self, file: &str, arguments: &[&str]) -> Ended {
        Ended::of(self.import_command(file, arguments))
    }

    /// An import of a file, to be run later.
    pub(crate) fn import_command(&self, file: &str, arguments: &[&str]) -> Command {
        let target = ["import", "--url", &self.collector, "--key", "sk_shop_demo", "--site", "shop"];
        self.command(&[&target[..], arguments, &[file]].concat())
    }

    /// The console's JSON, as `rungs report` prints it.
    pub(crate) fn report(&self, arguments: &[&str]) -> serde_json::Value {
        let target = ["report", "--url", &self.console, "--site", "shop", "--funnel", "purchase", "--json"];
        let ended = self.run(&[&target[..], arguments].concat());
        assert!(ended.ok, "{}\n{}", ended.err, self.said());
        serde_json::from_str(&ended.out).unwrap()
    }

    /// Writes a file of its own and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn change_plan(&self, text: &str) {
        self.write("plan.toml", text);
    }

    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        self.until_or(|| what.to_owned(), holds);
    }

    /// As [`Program::until`]; what is wrong is told at the end only.
    pub(crate) fn until_or(&self, what: impl Fn() -> String, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "{}\n{}", what(), self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until something can be had.
    pub(crate) fn until_some_or<T>(&self, what: impl Fn() -> String, find: impl Fn(&Self) -> Option<T>) -> T {
        let found = std::cell::RefCell::new(None);
        self.until_or(what, |program| {
            *found.borrow_mut() = find(program);
            found.borrow().is_some()
        });
        found.into_inner().unwrap()
    }

    /// Asks it to end and gives its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.end()
    }

    /// The same data folder, another process.
    pub(crate) fn restart(mut self) -> Self {
        assert_eq!(self.end(), Some(0), "{}", self.said());
        Self::start_in(self.folder.take().unwrap(), self.ports.clone())
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) -> Killed {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Killed { folder: self.folder.take().unwrap(), ports: self.ports.clone() }
    }

    /// As [`Program::kill`], but asked to end.
    pub(crate) fn end_in_order(mut self) -> Killed {
        assert_eq!(self.end(), Some(0), "{}", self.said());
        Killed { folder: self.folder.take().unwrap(), ports: self.ports.clone() }
    }

    /// Another data folder, the same import positions.
    pub(crate) fn restart_without_data(mut self) -> Self {
        assert_eq!(self.end(), Some(0), "{}", self.said());
        std::fs::remove_dir_all(self.path().join("data")).unwrap();
        Self::start_in(self.folder.take().unwrap(), self.ports.clone())
    }

    /// Edits the one position that imports of this program have left.
    pub(crate) fn change_import_position(&self, change: impl Fn(&mut serde_json::Value)) {
        let folder = self.path().join("state/rungs/imports");
        let path = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        let mut position = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut position);
        std::fs::write(path, position.to_string()).unwrap();
    }

    fn end(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Killed {
    /// One that never ran.
    pub(crate) fn before_its_first_start(plan: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.toml"), plan).unwrap();
        std::fs::write(folder.path().join("rungs.toml"), settings).unwrap();
        Self { folder, ports: Ports { collector: "127.0.0.1:0".to_owned() } }
    }

    /// The same data folder, another process; the collector listens where it did.
    pub(crate) fn start(self) -> Program {
        Program::start_in(self.folder, self.ports)
    }

    /// As [`Killed::start`], and kills it again during its start.
    pub(crate) fn start_and_kill(self, after: Duration) -> Self {
        let program = Program::spawn_in(self.folder, self.ports);
        std::thread::sleep(after);
        program.kill()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rungs"));
    command.current_dir(root());
    command
}

fn listen(stderr: ChildStderr) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let to = said.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            to.lock().unwrap().push_str(&format!("{line}\n"));
        }
    });
    said
}
