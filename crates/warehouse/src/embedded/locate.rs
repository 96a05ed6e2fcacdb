//! Where the engine's shared library is looked for. Called once, by [`super::Library::load`]; reads no file's content.
//!
//! Order: the setting, `RUNGS_LIBCHDB`, beside the executable, `../lib` of its folder, `.cache/libchdb-*/` (where
//! `scripts/fetch-libchdb.sh` puts it) of the project that it was built in, then of the current folder, `/usr/local/lib`. A
//! path that was named wins or fails: nothing else is tried.

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
    // A link to the program is followed: it stands for the folder that the program was installed in.
    let program = std::env::current_exe().and_then(|program| program.canonicalize()).ok();
    let mut found = program.as_deref().and_then(Path::parent).map(around).unwrap_or_default();
    found.extend(cached(Path::new(".cache")));
    found.push(Path::new("/usr/local/lib").join(FILE_NAME));
    found
}

/// Beside a program, in the `lib` of its `bin`, and in the cache of the project whose `target/release` it is in.
fn around(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.join(FILE_NAME)];
    found.extend(folder.parent().map(|parent| parent.join("lib").join(FILE_NAME)));
    let project = folder.parent().filter(|parent| parent.ends_with("target")).and_then(Path::parent);
    found.extend(project.map(|project| cached(&project.join(".cache"))).unwrap_or_default());
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
    fn it_is_looked_for_around_the_program_whatever_the_current_folder() {
        let installed = around(Path::new("/opt/rungs/bin"));
        assert_eq!(installed, ["/opt/rungs/bin/libchdb.so", "/opt/rungs/lib/libchdb.so"].map(PathBuf::from));
        let project = tempfile::tempdir().unwrap();
        let cached = project.path().join(".cache/libchdb-26.7.3");
        std::fs::create_dir_all(&cached).unwrap();
        let built = around(&project.path().join("target/release"));
        assert_eq!(built.last(), Some(&cached.join("libchdb.so")));
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
