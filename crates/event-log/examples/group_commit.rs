//! How fast group commits are here: 1,024 tasks that each publish one message of 300 bytes and wait for its receipt,
//! then 8 tasks with calls of 500 messages. Two seconds each, in a temporary folder (or the folder given):
//! `cargo run -p event-log --example group_commit [FOLDER]`.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogSettings};
use event_log::{Message, Publisher, Source, SystemClock};

const PARTITIONS: u32 = 4;
const TIME: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args().nth(1).map_or_else(|| temporary.path().to_owned(), Into::into);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let alone = open(&dir, "alone")?;
    runtime.block_on(run(alone, "one task,       1 message  a call", 1, 1));
    let single = open(&dir, "single")?;
    runtime.block_on(run(single, "1,024 tasks,    1 message  a call", 1_024, 1));
    let batches = open(&dir, "batches")?;
    runtime.block_on(run(batches, "8 tasks,      500 messages a call", 8, 500));
    Ok(())
}

fn open(dir: &std::path::Path, name: &str) -> Result<Arc<LocalLog>, Box<dyn Error>> {
    let settings =
        LocalLogSettings { max_bytes: 8 << 30, ..LocalLogSettings::new(dir.join(name), PARTITIONS) };
    Ok(Arc::new(LocalLog::open(settings, Arc::new(SystemClock))?))
}

async fn run(log: Arc<LocalLog>, what: &str, tasks: u32, batch: u32) {
    let started = Instant::now();
    let refused = Arc::new(AtomicU64::new(0));
    let publishers = (0..tasks).map(|task| {
        let (log, refused) = (log.clone(), refused.clone());
        futures_util::future::FutureExt::boxed(async move {
            let value = Bytes::from(vec![b'x'; 300]);
            let time = if tasks == 1 { TIME / 4 } else { TIME };
            while started.elapsed() < time {
                let message =
                    |index| Message { partition: (task + index) % PARTITIONS, value: value.clone() };
                let stored = match log.publish((0..batch).map(message).collect()) {
                    Ok(receipt) => receipt.await,
                    Err(error) => Err(error),
                };
                if stored.is_err() {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    let mut running = tokio::task::JoinSet::new();
    for publisher in publishers {
        running.spawn(publisher);
    }
    running.join_all().await;
    let seconds = started.elapsed().as_secs_f64();
    let stored: u64 = (0..PARTITIONS).map(|partition| *log.end(partition).borrow()).sum();
    let refused = refused.load(Ordering::Relaxed);
    println!("{what}: {:>9.0} messages/s, {refused} calls refused", stored as f64 / seconds);
    log.close();
}
