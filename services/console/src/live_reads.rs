//! The newest numbers, read from ClickHouse at most once a second for all who ask: requests for `live` and streams. Called
//! by [`crate::WarehouseSource`].
//!
//! A task a key (funnel as defined, window, breakdown) reads every [`INTERVAL`] for as long as somebody asks, so that
//! nobody but the first waits for ClickHouse. An answer is at most [`INTERVAL`] and the time of one read old, never older
//! than [`OLDEST`] after it was read: then a reader waits for the read under way. Errors are shared like numbers.
//! Bounded by [`MAX_KEYS`]; beyond it every reader reads for himself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use runtime::{Shutdown, Tasks};
use tokio::sync::watch;
use tokio::time::Instant;
use warehouse::FunnelKey;
use warehouse::live::Live;

use crate::source::SourceError;

/// Keys whose numbers are kept, at most.
pub const MAX_KEYS: usize = 1_000;
/// A key's numbers are read this often.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// Numbers that were read longer ago are not handed out.
pub const OLDEST: Duration = Duration::from_secs(2);
/// Reads go on for this long after somebody asked.
pub const LINGER: Duration = Duration::from_secs(10);

/// Which numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LiveKey {
    pub funnel: FunnelKey,
    /// The window's label.
    pub window: String,
    pub breakdown: Option<String>,
}

/// What a read gave.
pub type Outcome = Result<Arc<Live>, SourceError>;
/// Reads from where the numbers are.
pub type Read = Arc<dyn Fn(LiveKey) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// Shares reads; clones share them too.
#[derive(Clone)]
pub struct LiveReads(Arc<Shared>);

struct Shared {
    read: Read,
    tasks: Tasks,
    shutdown: Shutdown,
    places: Mutex<HashMap<LiveKey, Place>>,
}

/// A key that somebody asks for.
struct Place {
    asked_at: Instant,
    newest: watch::Receiver<Newest>,
}

/// When numbers were read last, and what came of it; `None` before.
type Newest = Option<(Instant, Outcome)>;

impl LiveReads {
    /// Nothing is read before somebody asks; `shutdown` ends all reading.
    pub fn new(read: Read, tasks: Tasks, shutdown: Shutdown) -> Self {
        Self(Arc::new(Shared { read, tasks, shutdown, places: Mutex::default() }))
    }

    /// The newest numbers.
    ///
    /// # Errors
    /// Those of the read.
    pub async fn newest(&self, key: LiveKey) -> Outcome {
        if let Some(mut newest) = self.join(&key) {
            let is_new = |newest: &Newest| newest.as_ref().is_some_and(|(at, _)| at.elapsed() <= OLDEST);
            // An error: the task has ended, because everything does.
            if let Ok(newest) = newest.wait_for(is_new).await
                && let Some((_, outcome)) = newest.as_ref()
            {
                return outcome.clone();
            }
        }
        (self.0.read)(key).await
    }

    /// The numbers of a key as they are read; `None` where it is one key too many.
    fn join(&self, key: &LiveKey) -> Option<watch::Receiver<Newest>> {
        let mut places = self.places();
        if let Some(place) = places.get_mut(key).filter(|place| place.newest.has_changed().is_ok()) {
            place.asked_at = Instant::now();
            return Some(place.newest.clone());
        }
        if places.len() >= MAX_KEYS || self.0.shutdown.is_requested() {
            return None;
        }
        let (sender, newest) = watch::channel(None);
        places.insert(key.clone(), Place { asked_at: Instant::now(), newest: newest.clone() });
        let (reads, key) = (self.clone(), key.clone());
        drop(self.0.tasks.spawn("console live reads", async move {
            tokio::select! {
                () = reads.keep_reading(&key, &sender) => {}
                () = reads.0.shutdown.requested() => {}
            }
        }));
        Some(newest)
    }

    async fn keep_reading(&self, key: &LiveKey, newest: &watch::Sender<Newest>) {
        loop {
            let begun = Instant::now();
            let outcome = (self.0.read)(key.clone()).await;
            newest.send_replace(Some((Instant::now(), outcome)));
            tokio::time::sleep_until(begun + INTERVAL).await;
            if self.is_deserted(key) {
                return;
            }
        }
    }

    /// Removes a key that nobody asked for; joining takes the same lock, so nobody is left with a key that is not read.
    fn is_deserted(&self, key: &LiveKey) -> bool {
        let mut places = self.places();
        let deserted = places.get(key).is_none_or(|place| place.asked_at.elapsed() > LINGER);
        if deserted {
            places.remove(key);
        }
        deserted
    }

    fn places(&self) -> MutexGuard<'_, HashMap<LiveKey, Place>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt;
    use warehouse::WarehouseError;

    use super::*;

    /// Reads that take `takes` and are counted; the count is the numbers' progress.
    fn reads(takes: Duration) -> (LiveReads, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let read: Read = Arc::new(move |_| {
            let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                tokio::time::sleep(takes).await;
                Ok(Arc::new(Live { building: Some(number as f64), numbers: None }))
            }
            .boxed()
        });
        (LiveReads::new(read, Tasks::new(), Shutdown::new()), count)
    }

    fn key(window: &str) -> LiveKey {
        let funnel = FunnelKey { site: "s".into(), funnel: "f".into(), definition: 1 };
        LiveKey { funnel, window: window.into(), breakdown: None }
    }

    async fn number(reads: &LiveReads) -> f64 {
        reads.newest(key("7d")).await.unwrap().building.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn many_readers_share_one_read_a_second() {
        let (reads, count) = reads(Duration::from_millis(50));
        let asks = (0..100).map(|_| number(&reads));
        assert_eq!(futures_util::future::join_all(asks).await, vec![1.0; 100]);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            number(&reads).await;
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        assert!((5..=6).contains(&count.load(Ordering::Relaxed)), "{count:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_does_not_wait_for_the_read_under_way_while_the_last_answer_is_not_too_old() {
        let (reads, _) = reads(Duration::from_millis(900));
        assert_eq!(number(&reads).await, 1.0);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let asked = Instant::now();
        assert_eq!(
            (number(&reads).await, asked.elapsed()),
            (1.0, Duration::ZERO),
            "the second is being read"
        );
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!((number(&reads).await, asked.elapsed()), (2.0, Duration::from_millis(600)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_too_old_is_waited_for() {
        let (reads, _) = reads(Duration::from_secs(5));
        assert_eq!(number(&reads).await, 1.0);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(number(&reads).await, 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_ends_when_nobody_asks_and_begins_again() {
        let (reads, count) = reads(Duration::from_millis(50));
        number(&reads).await;
        tokio::time::sleep(LINGER + INTERVAL * 2).await;
        let read = count.load(Ordering::Relaxed);
        assert!(reads.places().is_empty());
        tokio::time::sleep(LINGER).await;
        assert_eq!(count.load(Ordering::Relaxed), read);
        assert_eq!(number(&reads).await, read as f64 + 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_every_reader_reads_and_after_shutdown_too() {
        let (reads, count) = reads(Duration::ZERO);
        for index in 0..MAX_KEYS {
            reads.newest(key(&index.to_string())).await.unwrap();
        }
        let before = count.load(Ordering::Relaxed);
        number(&reads).await;
        number(&reads).await;
        assert_eq!(count.load(Ordering::Relaxed), before + 2);
        reads.0.shutdown.request();
        reads.0.tasks.wait(Duration::from_secs(1)).await.unwrap();
        reads.newest(key("0")).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), before + 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_shared_until_the_next_read() {
        let fails = Arc::new(AtomicU64::new(1));
        let still = Arc::clone(&fails);
        let read: Read = Arc::new(move |_| {
            let fails = still.load(Ordering::Relaxed) > 0;
            let error = WarehouseError::Timeout { statement: "live", limit: INTERVAL };
            let outcome =
                if fails { Err(error.into()) } else { Ok(Arc::new(Live { building: None, numbers: None })) };
            futures_util::future::ready(outcome).boxed()
        });
        let reads = LiveReads::new(read, Tasks::new(), Shutdown::new());
        assert!(reads.newest(key("7d")).await.is_err());
        fails.store(0, Ordering::Relaxed);
        assert!(reads.newest(key("7d")).await.is_err());
        tokio::time::sleep(INTERVAL * 2).await;
        assert!(reads.newest(key("7d")).await.is_ok());
    }
}
