//! The tools that read compose files and kustomizations, and what they read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

use crate::program::{Ended, root};

/// The folder of the tools; built and fetched by the first caller on a fresh machine, which takes a minute or two.
pub(crate) fn folder() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let fetch = || {
        let output = Command::new(root().join("scripts/fetch-deploy-tools.sh")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    };
    FOLDER.get_or_init(fetch).clone()
}

/// Runs deploy-check; paths are seen from the project's root.
fn run(arguments: &[&str]) -> Ended {
    let mut command = Command::new(folder().join("deploy-check"));
    command.current_dir(root()).args(arguments);
    Ended::of(command)
}

/// What deploy-check prints for these arguments.
fn check(arguments: &[&str]) -> Value {
    let ended = run(arguments);
    assert!(ended.ok, "{}", ended.err);
    serde_json::from_str(&ended.out).unwrap()
}

/// docker-compose.yml, with its profiles.
pub(crate) fn compose() -> Value {
    check(&["compose", "docker-compose.yml"])
}

/// A YAML file of the project.
pub(crate) fn yaml(path: &str) -> Value {
    check(&["yaml", path])
}

/// The arguments that have a kustomization judged by the schemas of each version of Kubernetes.
fn judged(path: &str) -> Vec<String> {
    let schemas = std::fs::read_dir(folder().join("kubernetes")).unwrap();
    let schemas: Vec<String> = schemas.map(|entry| entry.unwrap().path().display().to_string()).collect();
    assert_eq!(schemas.len(), 3, "{schemas:?}");
    [vec!["kustomize".to_owned(), path.to_owned()], schemas].concat()
}

/// The objects of a kustomization of the project, after its schemas, extensions and Pod Security had nothing against it.
/// Each is built once.
pub(crate) fn kustomize(path: &str) -> Vec<Value> {
    static BUILT: Mutex<BTreeMap<String, Vec<Value>>> = Mutex::new(BTreeMap::new());
    let build = || {
        let arguments = judged(path);
        check(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).as_array().unwrap().clone()
    };
    BUILT.lock().unwrap_or_else(PoisonError::into_inner).entry(path.to_owned()).or_insert_with(build).clone()
}

/// Why a kustomization is refused, if it is.
pub(crate) fn refusal(path: &str) -> Option<String> {
    let arguments = judged(path);
    let ended = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    (!ended.ok).then_some(ended.err)
}

/// A text in an object, found by a JSON pointer; empty if it is not there.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A list in an object, found by a JSON pointer; empty if it is not there.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
