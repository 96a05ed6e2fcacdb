//! Every target on the corpus, on what a fuzzer found before (`tests/found`, a folder a target), and on changed copies of
//! both for some seconds: `RUNGS_FUZZ_SECONDS` says how many, `RUNGS_FUZZ_SEED` repeats a run. What fails is printed with
//! its seed, and as bytes to be kept in `tests/found`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use fuzz_targets::corpus::{Corpus, files, root};
use fuzz_targets::mutation::Mutator;
use fuzz_targets::{TARGETS, Target};

const SECONDS: u64 = 16;
/// Copies of each target, however slow the machine is.
const LEAST: u32 = 100;

/// Tells what was being checked where it panics.
struct Checking<'a> {
    target: &'a Target,
    seed: u64,
    data: &'a [u8],
}

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let data: String = self.data.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("target {}, RUNGS_FUZZ_SEED={}, hex {data}", self.target.name, self.seed);
            eprintln!("{}", String::from_utf8_lossy(self.data));
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}

fn check(target: &Target, seed: u64, data: &[u8]) {
    let _checking = Checking { target, seed, data };
    (target.check)(data);
}

fn found(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found").join(target.name);
    files(&folder, "").iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn every_decoder_keeps_its_promises_on_what_clients_send_and_on_changed_copies_of_it() {
    let (seed, corpus) = (number("RUNGS_FUZZ_SEED", rand::random()), Corpus::read());
    let time = Duration::from_secs(number("RUNGS_FUZZ_SECONDS", SECONDS)) / TARGETS.len() as u32;
    for target in TARGETS {
        let mut seeds = (target.seeds)(&corpus);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        seeds.extend(found(target));
        seeds.iter().for_each(|data| check(target, seed, data));
        check(target, seed, b"");
        let (mut mutator, until, mut copies) = (Mutator::new(seed), Instant::now() + time, 0);
        while copies < LEAST || Instant::now() < until {
            check(target, seed, &mutator.next(&seeds));
            copies += 1;
        }
        println!("{}: {} seeds, {copies} changed copies", target.name, seeds.len());
    }
}

#[test]
fn every_target_has_a_file_for_the_fuzzer_and_every_find_a_target() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len());
    let folder = root().join("fuzz/fuzz_targets");
    let written: BTreeSet<String> = files(&folder, ".rs")
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(written, names);
    for name in &names {
        let text = std::fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
        assert!(text.contains(&format!("check(\"{name}\", data)")), "{name}: {text}");
        let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
    }
    let kept = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found"), "");
    for path in kept {
        let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        assert!(names.contains(&folder), "{} belongs to no target", path.display());
    }
}

#[test]
fn what_is_fuzzed_is_what_runs() {
    let of_fuzz_alone = ["arbitrary", "libfuzzer-sys", "rungs-fuzz"];
    let [ours, theirs] = ["Cargo.lock", "fuzz/Cargo.lock"].map(|file| pinned(&root().join(file)));
    let drifted: Vec<_> = theirs
        .iter()
        .filter(|(name, _)| !of_fuzz_alone.contains(&name.as_str()))
        .filter(|pin| !ours.contains(pin))
        .collect();
    assert!(
        drifted.is_empty(),
        "fuzz/Cargo.lock has other versions than Cargo.lock: {drifted:?}; copy Cargo.lock there and run \
         cargo metadata --manifest-path fuzz/Cargo.toml"
    );
}

/// Names and versions of a lockfile.
fn pinned(file: &Path) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let packages = text.split("[[package]]").skip(1);
    let field = |package: &str, name: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_matches([' ', '=', '"']).to_owned()
    };
    packages.map(|package| (field(package, "name"), field(package, "version"))).collect()
}
