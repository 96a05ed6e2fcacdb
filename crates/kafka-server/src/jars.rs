//! Where Kafka's jars are, and how a program of theirs is called.

use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "4.1.1";

/// The folder of the jars.
fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cache = std::env::var_os("RUNGS_CACHE").map_or_else(|| root.join(".cache"), |cache| root.join(cache));
    let folder = cache.join(format!("kafka-{VERSION}")).join("lib");
    assert!(folder.is_dir(), "there is no Kafka in {}: run scripts/fetch-kafka.sh", folder.display());
    folder.canonicalize().expect("the folder of Kafka's jars")
}

/// `java` with Kafka's jars, a small heap and a quick start; the class and its arguments are to follow.
pub(crate) fn java(heap: &str) -> Command {
    with(&[heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
}

/// As [`java`], compiled as far as it goes.
pub(crate) fn fast_java(heap: &str) -> Command {
    with(&[heap, "-XX:+UseSerialGC"])
}

fn with(options: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.args(options).args(["-XX:-UsePerfData", "-cp"]).arg(folder().join("*"));
    command
}
