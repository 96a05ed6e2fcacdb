//! The clients and the programs that send with them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::JoinHandle;

/// All of them run at the same time.
const DEADLINE: Duration = Duration::from_secs(80);

/// The write key of the collector under test.
pub(crate) const KEY: &str = "wk";

/// A vendor's client.
pub(crate) struct Client {
    /// As `send.mjs` and `send.py` call it.
    pub(crate) name: &'static str,
    pub(crate) language: Language,
    /// Whether it sends again what failed.
    pub(crate) retries: bool,
    /// Whether its events have ids, so that a repeated one is known.
    pub(crate) has_ids: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Node,
    Python,
}

const fn client(name: &'static str, language: Language, retries: bool, has_ids: bool) -> Client {
    Client { name, language, retries, has_ids }
}

pub(crate) const CLIENTS: [Client; 13] = [
    client("segment", Language::Node, true, true),
    client("rudderstack", Language::Node, true, true),
    client("posthog", Language::Node, true, true),
    client("posthog_v1", Language::Node, true, true),
    client("jitsu", Language::Node, false, true),
    client("umami", Language::Node, false, false),
    client("openpanel", Language::Node, true, false),
    client("segment", Language::Python, true, true),
    client("rudderstack", Language::Python, true, true),
    client("posthog", Language::Python, true, true),
    client("posthog_gzip", Language::Python, true, true),
    client("posthog_v1", Language::Python, true, true),
    client("snowplow", Language::Python, true, true),
];

impl Client {
    /// What the ids of its visitors begin with.
    pub(crate) fn run(&self) -> String {
        format!("{}-{:?}", self.name, self.language).to_lowercase()
    }
}

/// The fetched packages, and a folder for programs that use them.
pub(crate) struct Fetched {
    packages: PathBuf,
    folder: TempDir,
}

/// A program under way.
pub(crate) struct Running(JoinHandle<Output>);

impl Fetched {
    /// Fetches what is missing; `None` only if `RUNGS_SKIP_SDKS` is set.
    pub(crate) fn all() -> Option<Self> {
        if std::env::var_os("RUNGS_SKIP_SDKS").is_some() {
            println!("skipped: RUNGS_SKIP_SDKS is set");
            return None;
        }
        static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
        let packages = PACKAGES.get_or_init(fetch).clone();
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(packages.join("node/node_modules"), folder.path().join("node_modules"))
            .unwrap();
        Some(Self { packages, folder })
    }

    /// The folder of the packages.
    pub(crate) fn packages(&self) -> &Path {
        &self.packages
    }

    /// Starts a client's program, which sends its events in three parts with pauses between them.
    pub(crate) fn send(&self, client: &Client, url: &str, visitors: usize, pause_ms: u64) -> Running {
        let (file, text) = match client.language {
            Language::Node => ("send.mjs", include_str!("node/send.mjs")),
            Language::Python => ("send.py", include_str!("python/send.py")),
        };
        let (visitors, pause_ms) = (visitors.to_string(), pause_ms.to_string());
        let arguments = [client.name, url, KEY, &client.run(), &visitors, &pause_ms];
        let mode = if client.name == "posthog_v1" { "v1" } else { "" };
        self.run(client.language, file, text, &arguments, &[("POSTHOG_CAPTURE_MODE", mode)])
    }

    /// Starts a program with the packages at hand.
    pub(crate) fn run(
        &self,
        language: Language,
        file: &str,
        text: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Running {
        let path = self.folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(match language {
            Language::Node => "node",
            Language::Python => "python3",
        });
        command.arg(path).args(arguments).env("PYTHONPATH", self.packages.join("python"));
        command.envs(environment.iter().filter(|(_, value)| !value.is_empty()).copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|error| panic!("{language:?}: {error}"));
        Running(tokio::task::spawn_blocking(|| output(child)))
    }
}

/// What a program printed until its end; it is ended when it takes too long. (Programs here print little: no pipe fills.)
fn output(mut child: Child) -> Output {
    let deadline = Instant::now() + DEADLINE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn fetch() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/fetch-sdks.sh");
    let fetched = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(fetched.status.success(), "scripts/fetch-sdks.sh; RUNGS_SKIP_SDKS=1 leaves these tests out");
    PathBuf::from(String::from_utf8(fetched.stdout).unwrap().trim())
}

impl Running {
    /// Waits for the end, which must be one without an error.
    pub(crate) async fn ended_well(self, name: &str) {
        let output = self.0.await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}: {}\n{out}\n{err}", output.status);
        let errors = out.lines().last().unwrap_or_default();
        assert_eq!(errors, "0", "{name}: errors that the client told\n{out}\n{err}");
    }
}
