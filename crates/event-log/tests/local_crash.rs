//! The local log after `kill -9`, a torn or cut journal, and a full disk: whatever was acknowledged is there once and
//! in order, and opening never panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use event_log::local::{LocalLog, LocalLogSettings};
use event_log::{Publisher, Source, SystemClock};
use rand::Rng;
use support::{message, publish, until, values, wait};

const HELPER_DIR: &str = "EVENT_LOG_TEST_HELPER_DIR";

fn open(dir: &Path) -> LocalLog {
    // Segments small enough that kills also hit their beginning and their removal.
    let small =
        LocalLogSettings { segment_bytes: 20_000, retention_bytes: 10_000, ..LocalLogSettings::new(dir, 2) };
    LocalLog::open(small, Arc::new(SystemClock)).unwrap()
}

/// All records that are still there.
fn all(log: &LocalLog, partition: u32) -> Vec<String> {
    let mut texts = Vec::new();
    let first = log.first(partition);
    loop {
        let records = log.read(partition, first + texts.len() as u64, 1 << 16).unwrap();
        if records.is_empty() {
            return texts;
        }
        texts.extend(values(&records));
    }
}

/// How many of the newest records the helper keeps.
const UNRELEASED: u64 = 500;

/// Not a test of its own: the process that is killed. It publishes until then and prints what was acknowledged.
#[test]
fn helper_that_publishes_until_it_is_killed() {
    let Ok(dir) = std::env::var(HELPER_DIR) else { return };
    let log = open(Path::new(&dir));
    let mut next = *log.end(0).borrow();
    let mut out = std::io::stdout();
    loop {
        let texts: Vec<u64> = (next..next + 10).collect();
        let receipts: Vec<_> =
            texts.iter().map(|text| log.publish(vec![message(0, &format!("m{text}"))]).unwrap()).collect();
        for (text, receipt) in texts.iter().zip(receipts) {
            wait(receipt).unwrap();
            writeln!(out, "acknowledged {text}").unwrap();
        }
        next += 10;
        log.release(0, next.saturating_sub(UNRELEASED));
    }
}

/// Runs the helper until it has acknowledged `count` messages, kills it, and returns the last one.
fn run_and_kill(dir: &Path, count: usize) -> u64 {
    let mut helper = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_publishes_until_it_is_killed", "--nocapture"])
        .env(HELPER_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(helper.stdout.take().unwrap()).lines();
    let acknowledged =
        |line: &String| line.rsplit_once("acknowledged ").and_then(|(_, number)| number.parse().ok());
    let mut last = lines.by_ref().map(Result::unwrap).filter_map(|line| acknowledged(&line)).nth(count);
    helper.kill().unwrap();
    helper.wait().unwrap();
    // What it had acknowledged before the kill arrived. The last line may be cut.
    for line in lines.map_while(Result::ok).filter(|line| line.len() > "acknowledged ".len()) {
        last = acknowledged(&line).max(last);
    }
    last.unwrap()
}

#[test]
fn every_acknowledged_message_survives_kill_9_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let count = rand::rng().random_range(0..2_000);
        let last = run_and_kill(dir.path(), count);
        let log = open(dir.path());
        let (first, end) = (log.first(0), *log.end(0).borrow());
        assert!(end > last, "round {round}: {last} was acknowledged, the log ends at {end}");
        assert!(first <= end.saturating_sub(UNRELEASED), "round {round}: begins at {first} of {end}");
        let expected: Vec<String> = (first..end).map(|offset| format!("m{offset}")).collect();
        assert_eq!(all(&log, 0), expected, "round {round}");
    }
}

fn newest_journal(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("fjall")).unwrap().map(|file| file.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    journals.max_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap()).unwrap()
}

/// The journal is preallocated: where its content ends.
fn content_end(journal: &Path) -> u64 {
    let content = std::fs::read(journal).unwrap();
    content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// A log of single messages "m0", "m1", ... and where the journal ended after each.
fn log_of(count: usize) -> (tempfile::TempDir, Vec<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let journal = newest_journal(dir.path());
    let ends = (0..count).map(|index| {
        publish(&log, vec![message(0, &format!("m{index}"))]).unwrap();
        content_end(&journal)
    });
    let ends = ends.collect();
    drop(log);
    (dir, ends)
}

#[test]
fn a_journal_cut_anywhere_serves_everything_before_the_cut_and_goes_on() {
    let (dir, ends) = log_of(6);
    let journal = newest_journal(dir.path());
    let content = std::fs::read(&journal).unwrap();
    let end = *ends.last().unwrap();
    // From the back, so that each cut is shorter than the last; every byte of the last batches, then some.
    let from = ends[2];
    for cut in (from..end).rev() {
        std::fs::write(&journal, &content[..cut as usize]).unwrap();
        let log = open(dir.path());
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let expected: Vec<String> = (0..whole).map(|index| format!("m{index}")).collect();
        assert_eq!(all(&log, 0), expected, "cut at {cut}");
        drop(log);
    }
    let log = open(dir.path());
    publish(&log, vec![message(0, "after")]).unwrap();
    drop(log);
    assert_eq!(all(&open(dir.path()), 0), ["m0", "m1", "m2", "after"]);
}

fn overwrite(journal: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(journal).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_last_batch_with_a_hole_as_after_a_power_cut_is_dropped() {
    let (dir, ends) = log_of(4);
    let journal = newest_journal(dir.path());
    // Inside the last batch's item, its end intact: only the checksum can tell.
    overwrite(&journal, ends[3] - 20, &[0, 0]);
    let log = open(dir.path());
    assert_eq!(all(&log, 0), ["m0", "m1", "m2"]);
    publish(&log, vec![message(0, "on")]).unwrap();
    drop(log);
    assert_eq!(all(&open(dir.path()), 0), ["m0", "m1", "m2", "on"]);
}

#[test]
fn damage_in_the_middle_of_the_journal_is_reported_and_nothing_is_cut() {
    let (dir, ends) = log_of(4);
    let journal = newest_journal(dir.path());
    overwrite(&journal, ends[1] - 20, &[0, 0]);
    let before = content_end(&journal);
    let refused = LocalLog::open(LocalLogSettings::new(dir.path(), 2), Arc::new(SystemClock)).err().unwrap();
    assert!(refused.to_string().contains("is damaged at byte"), "{refused}");
    assert_eq!(content_end(&journal), before);
}

#[test]
fn a_creation_that_was_killed_midway_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("fjall").join("keyspaces")).unwrap();
    File::create(dir.path().join("fjall").join("0.jnl")).unwrap();
    publish(&open(dir.path()), vec![message(0, "first")]).unwrap();
    assert_eq!(all(&open(dir.path()), 0), ["first"]);
}

#[test]
fn a_log_with_missing_files_is_reported_and_not_begun_anew() {
    let (dir, _) = log_of(2);
    let keyspaces = dir.path().join("fjall").join("keyspaces");
    std::fs::rename(&keyspaces, dir.path().join("away")).unwrap();
    let refused = LocalLog::open(LocalLogSettings::new(dir.path(), 2), Arc::new(SystemClock)).err().unwrap();
    assert!(refused.to_string().contains("files are missing"), "{refused}");
    std::fs::rename(dir.path().join("away"), &keyspaces).unwrap();
    assert_eq!(all(&open(dir.path()), 0), ["m0", "m1"]);
}

/// A file system of its own, gone when dropped.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => skip(&String::from_utf8_lossy(&output.stderr)),
            Err(cause) => skip(&cause.to_string()),
        }
    }
}

fn skip<T>(reason: &str) -> Option<T> {
    println!("skipped: a full disk needs the right to mount a tmpfs: {reason}");
    None
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().unwrap();
    }
}

/// A text that does not get smaller by compression.
fn noise(size: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(size).map(char::from).collect()
}

/// Fills the disk to the last byte.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 16, 512, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_is_answered_leaves_no_gap_and_is_over_when_there_is_space_again() {
    let Some(disk) = TinyDisk::mount("24m") else { return };
    let dir = disk.0.path().join("log");
    let ballast = disk.0.path().join("ballast");
    let log = open(&dir);
    let mut stored = Vec::new();
    for round in 0..3 {
        for index in 0..50 {
            let text = format!("{round} {index} {}", "x".repeat(1_000));
            publish(&log, vec![message(0, &text)]).unwrap();
            stored.push(text);
        }
        fill(&ballast);
        let mut refused = 0;
        for index in 0..20 {
            let text = format!("{round} lost {index} {}", noise(200_000));
            match publish(&log, vec![message(0, &text)]) {
                Ok(()) => stored.push(text),
                Err(_) => refused += 1,
            }
            assert_eq!(*log.end(0).borrow(), stored.len() as u64);
        }
        assert!(refused > 0, "the disk was full");
        assert_eq!(all(&log, 0), stored, "readers go on while the disk is full");
        std::fs::remove_file(&ballast).unwrap();
        let text = format!("{round} again");
        until("the log goes on", || publish(&log, vec![message(0, &text)]).is_ok());
        stored.push(text);
    }
    drop(log);
    let log = open(&dir);
    assert_eq!(all(&log, 0), stored);
}

/// Publishes one more text of about `size` bytes; keeps it in `stored` if it was acknowledged.
fn store(log: &LocalLog, stored: &mut Vec<String>, size: usize) -> bool {
    let text = format!("{} {}", stored.len(), noise(size));
    let acknowledged = publish(log, vec![message(0, &text)]).is_ok();
    if acknowledged {
        stored.push(text);
    }
    acknowledged
}

#[test]
fn a_disk_that_the_log_itself_filled_keeps_everything_and_goes_on_when_it_grows() {
    let Some(disk) = TinyDisk::mount("40m") else { return };
    let dir = disk.0.path().join("log");
    // Large segments: the disk is as likely to be full for fjall's background flush as for the commit itself.
    let large = || LocalLog::open(LocalLogSettings::new(&dir, 2), Arc::new(SystemClock)).unwrap();
    let log = large();
    let mut stored = Vec::new();
    let mut refused = 0;
    while refused < 5 {
        refused += usize::from(!store(&log, &mut stored, 300_000));
    }
    for _ in 0..200 {
        store(&log, &mut stored, 10);
    }
    assert!(all(&log, 0) == stored, "all is readable while the disk is full");
    drop(log);
    let log = large();
    assert!(all(&log, 0) == stored, "it opens on the full disk");

    let grown = Command::new("mount").args(["-o", "remount,size=400m"]).arg(disk.0.path()).status().unwrap();
    assert!(grown.success());
    until("the log goes on", || store(&log, &mut stored, 300_000));
    for _ in 0..100 {
        assert!(store(&log, &mut stored, 300_000));
    }
    assert!(all(&log, 0) == stored);
    drop(log);
    assert!(all(&large(), 0) == stored);
}

#[test]
fn a_background_flush_that_fails_loses_nothing_and_is_over_when_the_disk_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = LocalLog::open(LocalLogSettings::new(dir.path(), 2), Arc::new(SystemClock)).unwrap();
    let mut stored = Vec::new();
    assert!(store(&log, &mut stored, 10));
    let keyspaces = dir.path().join("fjall").join("keyspaces");
    let away = dir.path().join("away");
    std::fs::rename(&keyspaces, &away).unwrap();
    until("a flush failed and so did a commit after it", || !store(&log, &mut stored, 300_000));
    assert!(stored.len() > 8_000_000 / 300_000, "commits alone do not need the folder");
    assert!(!keyspaces.exists(), "nothing is begun anew where files are missing");
    std::fs::rename(&away, &keyspaces).unwrap();
    until("the log goes on", || store(&log, &mut stored, 300_000));
    assert!(all(&log, 0) == stored);
    drop(log);
    assert!(all(&open(dir.path()), 0) == stored);
}
