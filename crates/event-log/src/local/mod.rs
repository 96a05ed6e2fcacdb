//! The log on one machine: fjall in a folder. `rungs up` runs on it, and the collector spills to it while Kafka is
//! away.
//!
//! A call goes: [`publish`](Publisher::publish) -> `queue` (bounded) -> the writer thread takes all that waits, packs
//! one group per partition (`group`), commits them with one fsync (`store`, `database`), keeps them for readers at the
//! end (`tail`), announces the new ends, and answers the receipts. Alone, a call is committed at once; under load the
//! calls that arrive during one fsync, and within a millisecond after it, share the next.
//!
//! Guarantees: what was acknowledged survives `kill -9` and a power cut, once and in order; a failed write is
//! answered to everyone in it, leaves no gap, and the log goes on as soon as the disk does; reading never waits for a
//! group commit.

mod compressed;
mod database;
mod folder;
mod group;
mod journal;
mod metrics;
mod plans;
mod queue;
mod release;
mod salts;
mod segment;
mod settings;
mod store;
mod tail;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use tokio::sync::watch;

pub use database::EngineState;
pub use folder::holder_of;
pub use metrics::LocalLogMetrics;
pub use salts::SaltFile;
pub use settings::{LocalLogSettings, OpenError};

use crate::{
    Clock, LogId, LogRecord, Message, PlanRecord, PublishError, Publisher, ReadError, Receipt, Source,
};
use folder::Folder;
use queue::{Queue, Request};
use store::Store;
use tail::Tail;
use writer::Writer;

/// A log in a folder. Dropping it closes it.
pub struct LocalLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    plan_appends: Mutex<()>,
}

/// What callers and the writer thread share.
struct Shared {
    settings: LocalLogSettings,
    clock: Arc<dyn Clock>,
    id: LogId,
    database_dir: PathBuf,
    queue: Queue,
    tail: Mutex<Tail>,
    /// None while it cannot be reopened after a failure; `writer` tries again and again.
    store: RwLock<Option<Store>>,
    partitions: Vec<Partition>,
    /// Bytes of stored records that were not released.
    unreleased: AtomicU64,
    latest_plan: watch::Sender<Option<Arc<PlanRecord>>>,
    /// Declared last: the folder is given up after the store is closed.
    _folder: Folder,
}

struct Partition {
    first: AtomicU64,
    end: watch::Sender<u64>,
    /// As asked for; the writer acts on it.
    release: AtomicU64,
}

impl LocalLog {
    /// Opens the log in the settings' folder, or creates it. Blocks for as long as the journal takes to replay.
    pub fn open(settings: LocalLogSettings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        settings.check()?;
        let folder = Folder::hold(&settings.dir)?;
        let store = open_store(&settings, &folder, clock.as_ref())?;
        let (shared, writer) = start(settings, clock, folder, store)?;
        let dir = shared.settings.dir.clone();
        let thread = std::thread::Builder::new().name("event-log".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|cause| OpenError::Storage { dir, cause: cause.to_string() })?;
        Ok(Self { shared, writer: Mutex::new(Some(thread)), plan_appends: Mutex::new(()) })
    }

    /// Refuses further messages, stores and answers the queued ones and ends the writer thread. Blocks until then.
    /// What is stored can be read until the log is dropped, which gives up the folder.
    pub fn close(&self) {
        self.shared.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log's writer thread had panicked");
        }
    }

    /// The offset of the partition's oldest record that is still there; the end if there is none.
    pub fn first(&self, partition: u32) -> u64 {
        self.shared.partition(partition).map_or(0, |partition| partition.first.load(Ordering::Acquire))
    }

    /// The offset before which no reader needs records any more, as it was released.
    pub fn released(&self, partition: u32) -> u64 {
        self.shared.partition(partition).map_or(0, |partition| partition.release.load(Ordering::Acquire))
    }

    /// Resolves when everything that was published before is stored, or was answered as failed.
    pub fn barrier(&self) -> Result<Receipt, PublishError> {
        let (answer, receipt) = Receipt::pending();
        let request = Request { messages: Vec::new(), bytes: 0, answer };
        self.shared.queue.push(request, 0, u64::MAX, u64::MAX)?;
        Ok(receipt)
    }

    /// What the storage takes and does now; `None` while it is reopened after a failure. Looks at files: for a thread that
    /// may wait.
    pub fn engine(&self) -> Option<EngineState> {
        self.shared.with_store(|store| Ok(store.engine())).ok()
    }

    /// Bytes of records that are stored and not released, at most.
    pub fn max_bytes(&self) -> u64 {
        self.shared.settings.max_bytes
    }

    /// Bytes of stored records that were not released, which `max_bytes` bounds.
    pub fn unreleased_bytes(&self) -> u64 {
        self.shared.unreleased.load(Ordering::Acquire)
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn open_store(settings: &LocalLogSettings, folder: &Folder, clock: &dyn Clock) -> Result<Store, OpenError> {
    let damaged = |cause| OpenError::Storage { dir: folder.path().into(), cause };
    let now_ms = clock.now_ms();
    let mut store = Store::open(&folder.database(), settings.partitions, now_ms).map_err(damaged)?;
    if store.partitions == settings.partitions {
        return Ok(store);
    }
    let ends = store.ends().map_err(damaged)?;
    let released = store.released().map_err(damaged)?;
    let pairs = ends.iter().zip(&released);
    let unreleased = pairs.map(|(end, released)| end.offset.saturating_sub(*released)).sum();
    if unreleased > 0 {
        let (stored, wanted) = (store.partitions, settings.partitions);
        return Err(OpenError::Partitions { dir: folder.path().into(), stored, wanted, unreleased });
    }
    store.create(settings.partitions, now_ms).map_err(damaged)?;
    Ok(store)
}

fn start(
    settings: LocalLogSettings,
    clock: Arc<dyn Clock>,
    folder: Folder,
    store: Store,
) -> Result<(Arc<Shared>, Writer), OpenError> {
    let unusable = |cause| OpenError::Storage { dir: folder.path().into(), cause };
    let ends = store.ends().map_err(unusable)?;
    let released = store.released().map_err(unusable)?;
    let latest = plans::latest(&store).map_err(unusable)?;
    let partitions = store.firsts().zip(&ends).zip(&released).map(|((first, end), released)| Partition {
        first: AtomicU64::new(first),
        end: watch::Sender::new(end.offset),
        release: AtomicU64::new(*released),
    });
    let shared = Arc::new(Shared {
        clock,
        id: store.id.clone(),
        database_dir: folder.database(),
        queue: Queue::default(),
        tail: Mutex::new(Tail::new(settings.partitions, settings.tail_bytes)),
        partitions: partitions.collect(),
        store: RwLock::new(Some(store)),
        unreleased: AtomicU64::new(0),
        latest_plan: watch::Sender::new(latest.map(Arc::new)),
        settings,
        _folder: folder,
    });
    Ok((shared.clone(), Writer::new(shared, ends)))
}

impl Shared {
    fn partition(&self, partition: u32) -> Option<&Partition> {
        self.partitions.get(partition as usize)
    }

    fn no_partition(&self, partition: u32) -> String {
        format!("there is no partition {partition}: the log has {}", self.partitions.len())
    }

    /// Runs `work` on the store, or says that there is none just now.
    fn with_store<T>(&self, work: impl FnOnce(&Store) -> Result<T, String>) -> Result<T, String> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        match store.as_ref() {
            Some(store) => work(store),
            None => Err("the storage failed and is being reopened".to_owned()),
        }
    }

    /// The groups from offset `from` on, from memory if they are there.
    fn groups(
        &self,
        partition: u32,
        from: u64,
        end: u64,
        max_bytes: usize,
    ) -> Result<Vec<group::Group>, String> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = tail.groups(partition, from, max_bytes);
        drop(tail);
        if groups.is_empty() {
            return self.with_store(|store| store.read(partition, from, end, max_bytes));
        }
        Ok(groups)
    }
}

impl Publisher for LocalLog {
    fn partitions(&self) -> u32 {
        self.shared.settings.partitions
    }

    fn publish(&self, messages: Vec<Message>) -> Result<Receipt, PublishError> {
        let shared = &self.shared;
        if let Some(stray) = messages.iter().find(|message| message.partition >= shared.settings.partitions) {
            return Err(PublishError::Storage(shared.no_partition(stray.partition)));
        }
        let (answer, receipt) = Receipt::pending();
        if messages.is_empty() {
            // Nothing to store is stored; a receiver that is gone cannot be: `receipt` is here.
            drop(answer.send(Ok(())));
            return Ok(receipt);
        }
        let bytes = Request::bytes_of(&messages);
        let LocalLogSettings { max_bytes, max_queued_bytes, .. } = shared.settings;
        let stored = shared.unreleased.load(Ordering::Acquire);
        shared.queue.push(Request { messages, bytes, answer }, stored, max_bytes, max_queued_bytes)?;
        Ok(receipt)
    }
}

impl Source for LocalLog {
    fn id(&self) -> LogId {
        self.shared.id.clone()
    }

    fn partitions(&self) -> u32 {
        self.shared.settings.partitions
    }

    fn read(&self, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<LogRecord>, ReadError> {
        let Some(state) = self.shared.partition(partition) else {
            return Err(ReadError::Storage(self.shared.no_partition(partition)));
        };
        let end = *state.end.borrow();
        let mut records = Vec::new();
        if from < end {
            let groups = self.shared.groups(partition, from, end, max_bytes);
            // Asked after reading: retention may have come between.
            let first = state.first.load(Ordering::Acquire);
            if from < first {
                return Err(ReadError::Gone { partition, wanted: from, first });
            }
            let mut budget = max_bytes.max(1);
            for group in groups.map_err(ReadError::Storage)? {
                group.unpack(from, &mut budget, &mut records);
            }
        }
        Ok(records)
    }

    fn end(&self, partition: u32) -> watch::Receiver<u64> {
        // A partition that does not exist stays empty for ever.
        self.shared.partition(partition).map_or_else(|| watch::channel(0).1, |state| state.end.subscribe())
    }

    fn release(&self, partition: u32, offset: u64) {
        let Some(state) = self.shared.partition(partition) else { return };
        if state.release.fetch_max(offset, Ordering::AcqRel) < offset {
            self.shared.queue.nudge();
        }
    }
}
