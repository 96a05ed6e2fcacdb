//! What is served is what the sources say: the checked-in files are what the pinned minifier makes of them.

use std::path::Path;
use std::process::Command;

#[test]
fn the_served_files_are_the_minified_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(root.join("scripts/minify-tag.sh")).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for file in ["rungs.min.js", "rungs-extra.min.js"] {
        let made = std::fs::read_to_string(folder.path().join(file)).unwrap();
        let served = std::fs::read_to_string(root.join("services/collector/tag").join(file)).unwrap();
        assert!(made == served, "{file} is not what its sources say: run `make tag`");
    }
}
