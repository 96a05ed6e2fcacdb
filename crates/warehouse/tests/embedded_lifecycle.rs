//! Start, stop, a second process, and a killed one: what holds the data folder and what does not.
//!
//! The engine opens one folder a process, so the first owner is this test binary run again as a child.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod embedded_support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use embedded_support::settings;
use warehouse::embedded::{EmbeddedError, EmbeddedServer};

const CHILD_FOLDER: &str = "EMBEDDED_LIFECYCLE_CHILD_FOLDER";

/// Not a test by itself: the child serves the folder it is given until it is killed.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let server = EmbeddedServer::start(settings(Path::new(&folder))).await.unwrap();
    println!("\nlistening on http://{}", server.address());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

fn start_child(folder: &Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD_FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url =
        lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
    (child, url.expect("the child listens"))
}

async fn ask(url: &str, sql: &'static str) -> String {
    reqwest::Client::new().post(url).body(sql).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_folder_has_one_owner_and_a_killed_owner_does_not_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, url) = start_child(folder.path());
    ask(
        &url,
        "CREATE TABLE rungs.kept (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS fsync_after_insert = 1",
    )
    .await;
    assert_eq!(ask(&url, "INSERT INTO rungs.kept SELECT number FROM numbers(1000)").await, "");

    let refused = EmbeddedServer::start(settings(folder.path())).await.err().expect("the folder is in use");
    let EmbeddedError::InUse { owner, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*owner, format!("process {}", child.id()));

    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    let server = EmbeddedServer::start(settings(folder.path())).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "starting took {:?}", begun.elapsed());
    let url = format!("http://{}", server.address());
    assert_eq!(ask(&url, "SELECT count() FROM rungs.kept").await, "1000\n");
    server.stop().await;
    assert!(reqwest::get(&url).await.is_err(), "it still listens");
}

#[tokio::test]
async fn an_address_beyond_loopback_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = warehouse::embedded::EmbeddedSettings {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..settings(folder.path())
    };
    assert!(matches!(EmbeddedServer::start(settings).await, Err(EmbeddedError::NotLoopback(_))));
}

#[tokio::test]
async fn a_missing_library_says_what_was_tried_and_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = warehouse::embedded::EmbeddedSettings {
        library: Some("/nowhere/libchdb.so".into()),
        ..settings(folder.path())
    };
    let error = EmbeddedServer::start(settings).await.err().unwrap().to_string();
    assert!(
        error.contains("/nowhere/libchdb.so: no such file") && error.contains("scripts/fetch-libchdb.sh"),
        "{error}"
    );
}
