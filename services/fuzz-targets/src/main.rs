//! `fuzz-targets FOLDER`: writes what the fuzzer begins with, a folder a target: the seeds of the corpus and what was found
//! before. `make fuzz` calls it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // stops where it is wrong

use std::path::PathBuf;

use fuzz_targets::TARGETS;
use fuzz_targets::corpus::{Corpus, files};

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("the folder of the seeds"));
    let corpus = Corpus::read();
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in (target.seeds)(&corpus).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), seed).unwrap();
        }
        for found in
            files(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/found").join(target.name), "")
        {
            std::fs::copy(&found, folder.join(found.file_name().unwrap())).unwrap();
        }
    }
}
