//! Where the engine's shared library is looked for. Called once, by [`super::Library::load`]; reads no file's content.
//!
//! Order: the setting, `RUNGS_LIBCHDB`, beside the executable, `.cache/libchdb-*/` under the current folder (where
//! `scripts/fetch-libchdb.sh` puts it), `/usr/local/lib`. A path that was named wins or fails: nothing else is tried.

use std::path::{Path, PathBuf};

/// Environment variable that names the library's file.
pub(super) const LIBRARY_VARIABLE: &str = "RUNGS_LIBCHDB";

const FILE_NAME: &str = "libchdb.so";

/// Paths to try, best first. One entry when the setting or the variable names it.
pub(super) fn candidates(setting: Option<&Path>) -> Vec<PathBuf> {
    let named = setting.map(Path::to_owned).or_else(|| std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from));
    if let Some(path) = named {
        return vec![path];
    }
    let beside = std::env::current_exe().ok().and_then(|file| Some(file.parent()?.join(FILE_NAME)));
    let mut found: Vec<PathBuf> = beside.into_iter().collect();
    found.extend(cached(Path::new(".cache")));
    found.push(Path::new("/usr/local/lib").join(FILE_NAME));
    found
}

/// Every fetched version, the newest name first; a placeholder when there is none, so that errors name the folder.
fn cached(cache: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(cache)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libchdb-")))
        .map(|folder| folder.join(FILE_NAME))
        .collect();
    folders.sort_by(|a, b| b.cmp(a));
    if folders.is_empty() {
        folders.push(cache.join("libchdb-*").join(FILE_NAME));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_is_the_only_candidate() {
        assert_eq!(candidates(Some(Path::new("/opt/x.so"))), vec![PathBuf::from("/opt/x.so")]);
    }

    #[test]
    fn the_newest_cached_version_comes_first() {
        let cache = tempfile::tempdir().unwrap();
        for version in ["libchdb-26.7.3", "libchdb-26.9.1", "other"] {
            std::fs::create_dir(cache.path().join(version)).unwrap();
        }
        let found = cached(cache.path());
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with(cache.path().join("libchdb-26.9.1")));
    }
}
