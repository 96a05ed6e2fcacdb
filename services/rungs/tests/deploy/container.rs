//! What a description of a container says, whoever wrote it down, against what the program knows: arguments, variables,
//! values of settings, and the ports that it will listen on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use runtime::Settings;
use runtime::settings::variables;

use crate::program::root;

/// A container that runs `rungs`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Container {
    /// For messages.
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// Text files in it, by path.
    pub(crate) files: BTreeMap<String, String>,
    /// Files in it whose text is nobody's business.
    pub(crate) secrets: Vec<String>,
}

/// Where a container of this description listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listens {
    pub(crate) http: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}

impl Container {
    /// The value after a flag.
    pub(crate) fn flag(&self, flag: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|argument| argument == flag)?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    /// Everything in it that the program would refuse, or would not look at.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let help =
            Command::new(env!("CARGO_BIN_EXE_rungs")).args(&self.arguments).arg("--help").output().unwrap();
        if !help.status.success() {
            problems.push(format!(
                "{}: rungs {}: {}",
                self.name,
                self.arguments.join(" "),
                String::from_utf8_lossy(&help.stderr)
            ));
        }
        let known = variables();
        let foreign =
            self.environment.keys().filter(|name| name.starts_with("RUNGS_") && !known.contains(name));
        problems.extend(foreign.map(|name| format!("{}: nothing reads {name}", self.name)));
        for path in self.flag("--settings").into_iter().chain(self.plan()) {
            if !self.files.contains_key(path) {
                problems.push(format!("{}: there is no file {path} in it", self.name));
            }
        }
        if let Err(found) = self.settings() {
            problems.push(format!("{}: {found}", self.name));
        }
        problems
    }

    /// The plan that it applies.
    fn plan(&self) -> Option<&str> {
        match self.arguments.as_slice() {
            [plan, apply, file, ..] if plan == "plan" && apply == "apply" => Some(file),
            _ => None,
        }
    }

    /// The settings that the program finds in it.
    pub(crate) fn settings(&self) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        // A file of the container's is one of ours; its own path would be somewhere on this machine.
        let here = |text: &str| {
            self.secrets
                .iter()
                .fold(text.to_owned(), |text, path| text.replace(path, secret.to_str().unwrap()))
        };
        let file = match self.flag("--settings") {
            Some(path) => {
                let file = folder.path().join("rungs.toml");
                std::fs::write(&file, here(self.files.get(path).ok_or(format!("no {path}"))?)).unwrap();
                Some(file)
            }
            None => None,
        };
        let environment = self.environment.iter().map(|(name, value)| (name.clone(), here(value)));
        let loaded =
            Settings::load(file.as_deref().map(Path::new), environment.collect::<Vec<_>>().into_iter());
        loaded.map_err(|found| format!("{found:?}"))
    }

    /// Where it will listen: by flags, else by settings.
    pub(crate) fn listens(&self) -> Listens {
        let settings = self.settings().unwrap();
        let by_flag = |flag: &str| self.flag(flag).map(|address| address.parse::<SocketAddr>().unwrap());
        let http = match self.arguments[0].as_str() {
            "collector" if self.arguments.iter().any(|argument| argument == "--drain-only") => None,
            "collector" => by_flag("--listen").or(Some(settings.collector.listen)),
            "console" => by_flag("--console").or(Some(settings.console.listen)),
            _ => None,
        };
        let is_service = ["collector", "aggregator", "console"].contains(&self.arguments[0].as_str());
        let admin = is_service.then(|| by_flag("--admin").unwrap_or(settings.admin.listen));
        Listens { http, admin }
    }
}

#[test]
fn what_the_program_does_not_know_is_found() {
    let container = |arguments: &[&str], variable: &str| Container {
        name: "it".to_owned(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        environment: [(variable.to_owned(), "1".to_owned())].into(),
        ..Container::default()
    };
    let right = container(&["collector", "--data-dir", "/x"], "RUNGS_KAFKA__REPLICATION");
    assert_eq!(right.problems(), Vec::<String>::new());
    for wrong in [
        container(&["collector", "--date-dir", "/x"], "RUNGS_KAFKA__REPLICATION"),
        container(&["collector"], "RUNGS_KAFKA__REPLICAS"),
        container(&["collector"], "RUNGS_KAFKA_REPLICATION"),
        container(&["collector"], "RUNGS_KAFKA__BROKERS_FILE"),
        container(&["collector", "--settings", "/etc/rungs.toml"], "RUNGS_KAFKA__REPLICATION"),
        container(&["plan", "apply", "/plan.toml"], "RUNGS_KAFKA__REPLICATION"),
    ] {
        assert!(!wrong.problems().is_empty(), "{wrong:?}");
    }
    assert!(root().join("docker-compose.yml").is_file());
}
