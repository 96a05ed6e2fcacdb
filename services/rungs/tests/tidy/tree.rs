//! The project's files, without what is built, fetched or kept beside them.

use std::path::{Path, PathBuf};

const LEFT_OUT: [&str; 6] = [".git", ".cache", "target", "data", "my-data", "node_modules"];

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Whether there is such a file or folder in the project.
pub(crate) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

pub(crate) fn read(path: &str) -> String {
    let file = root().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file with one of these endings: path from the root and text, sorted.
pub(crate) fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if entry.is_dir() && !LEFT_OUT.contains(&name.as_str()) {
                waiting.push(entry);
            } else if entry.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                let path = entry.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((path.clone(), read(&path)));
            }
        }
    }
    found.sort();
    found
}

/// All Rust sources.
pub(crate) fn sources() -> Vec<(String, String)> {
    files(&[".rs"])
}
