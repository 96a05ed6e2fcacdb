//! The Dockerfile: a linter has nothing against it, what it compiles from is in its context, and the image's root, made here
//! by the same script, holds all that the program needs.

use std::process::Command;

use crate::none;
use crate::program::{Ended, root};
use crate::tools::folder;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn a_linter_has_nothing_against_the_dockerfile() {
    let mut command = Command::new(folder().join("hadolint"));
    command.current_dir(root()).args(["--no-color", "--failure-threshold", "style", "Dockerfile"]);
    let linted = Ended::of(command);
    assert!(linted.ok, "{}{}", linted.out, linted.err);
}

#[test]
fn it_compiles_with_the_pinned_toolchain_from_locked_dependencies() {
    let dockerfile = read("Dockerfile");
    let toolchain = read("rust-toolchain.toml");
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    assert!(dockerfile.contains(&format!("FROM rust:{channel}-")), "{channel}");
    assert!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={channel}")), "{channel}");
    for expected in ["--locked", "FROM scratch", "USER 65532:65532", "type=cache"] {
        assert!(dockerfile.contains(expected), "{expected}");
    }
}

/// What `.dockerignore` lets in begins with one of these, and has no folder `tests`.
fn context() -> Vec<String> {
    let ignore = read(".dockerignore");
    assert!(ignore.starts_with("*\n"), "everything is left out but what is named");
    ignore.lines().filter_map(|line| line.strip_prefix('!')).map(str::to_owned).collect()
}

/// The sources of a folder, with their texts before their tests.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(folder) = waiting.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !["tests", "target", "node_modules"].contains(&name.as_str()) {
                waiting.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
                found.push((path.parent().unwrap().display().to_string(), code));
            }
        }
    }
    found
}

#[test]
fn whatever_is_compiled_in_is_in_the_context() {
    let context = context();
    let (root, mut problems, mut seen) = (root(), Vec::new(), 0);
    let manifest = read("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    let members = members.split('"').skip(1).step_by(2).map(|member| member.split('/').next().unwrap());
    for member in members.chain(["Cargo.toml", "Cargo.lock", ".cargo", "scripts/image-root.sh"]) {
        assert!(context.iter().any(|path| path == member), "{member} is left out");
    }
    for (folder, code) in ["proto", "crates", "services"].iter().flat_map(|folder| sources(folder)) {
        let included = code.split("include_str!(\"").skip(1).chain(code.split("include_bytes!(\"").skip(1));
        for file in included.filter_map(|rest| rest.split('"').next()) {
            seen += 1;
            let path = std::path::Path::new(&folder).join(file).canonicalize().unwrap();
            let path = path.strip_prefix(&root).unwrap().display().to_string();
            let is_in = context.iter().any(|known| path.starts_with(&format!("{known}/")));
            if !is_in || path.contains("/tests/") {
                problems.push(format!(".dockerignore leaves out {path}, which is compiled in"));
            }
        }
    }
    assert!(seen > 5, "{seen}");
    none(problems);
}

/// Libraries, time zones and all: a plan is checked by the program alone in the image's root.
#[test]
#[cfg(target_os = "linux")]
fn the_program_runs_alone_in_the_images_root() {
    let temporary = tempfile::tempdir().unwrap();
    let image = temporary.path().join("image");
    let mut make = Command::new(root().join("scripts/image-root.sh"));
    let made = Ended::of({
        make.arg(env!("CARGO_BIN_EXE_rungs")).arg(&image);
        make
    });
    assert!(made.ok, "{}", made.err);
    assert!(!image.join("bin/sh").exists() && !image.join("usr/bin/env").exists());
    std::fs::copy(root().join("k8s/overlays/prod/tracking-plan.toml"), image.join("plan.toml")).unwrap();
    let alone = |arguments: &[&str]| {
        // As somebody else than root this takes a user namespace.
        let mut command = Command::new("sh");
        let script = r#"if [ "$(id -u)" = 0 ]; then exec chroot "$@"; else exec unshare --user --map-root-user chroot "$@"; fi"#;
        command.args(["-c", script, "sh"]).arg(&image).arg("/usr/bin/rungs").args(arguments).env_clear();
        Ended::of(command)
    };
    let version = alone(&["--version"]);
    assert!(version.ok && version.out.contains(env!("CARGO_PKG_VERSION")), "{}{}", version.out, version.err);
    // Its time zone has to come from somewhere.
    assert!(std::fs::read_to_string(image.join("plan.toml")).unwrap().contains("Europe/Berlin"));
    let checked = alone(&["check", "/plan.toml"]);
    assert!(checked.ok, "{}{}", checked.out, checked.err);
}
