//! What many look at is read from ClickHouse once for all who ask: the newest numbers (requests for `live` and streams), the
//! newest events of a site, the numbers of a day. Called by [`crate::WarehouseSource`].
//!
//! A task a key reads every [`Pace::interval`] for as long as somebody asks, so that nobody but the first waits for
//! ClickHouse. An answer is at most an interval and the time of one read old, never older than [`Pace::oldest`] after it
//! was read: then a reader waits for the read under way. Errors are shared like answers. Bounded by [`MAX_KEYS`]; beyond
//! it every reader reads for himself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use runtime::{Shutdown, Tasks};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::source::SourceError;

/// Keys whose numbers are kept, at most.
pub const MAX_KEYS: usize = 1_000;
/// The pace of what is live.
pub const LIVE: Pace = Pace {
    interval: Duration::from_secs(1),
    oldest: Duration::from_secs(2),
    linger: Duration::from_secs(10),
    rest: 0,
};

/// How often something is read.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A key is read this often.
    pub interval: Duration,
    /// What was read longer ago is not handed out.
    pub oldest: Duration,
    /// Reads go on for this long after somebody asked.
    pub linger: Duration,
    /// The next read waits this many times as long as the last one took: dear reads get a share of ClickHouse's time,
    /// however many ask, and their answers may be that much older.
    pub rest: u32,
}

/// What a read gave.
pub type Outcome<V> = Result<V, SourceError>;
/// Reads from where it is.
pub type Read<K, V> = Arc<dyn Fn(K) -> BoxFuture<'static, Outcome<V>> + Send + Sync>;

/// Shares reads; clones share them too.
pub struct SharedReads<K, V>(Arc<Shared<K, V>>);

impl<K, V> Clone for SharedReads<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<K, V> {
    read: Read<K, V>,
    pace: Pace,
    tasks: Tasks,
    shutdown: Shutdown,
    places: Mutex<HashMap<K, Place<V>>>,
}

/// A key that somebody asks for.
struct Place<V> {
    asked_at: Instant,
    newest: watch::Receiver<Newest<V>>,
}

/// Until when it is new enough, and what was read last; `None` before.
type Newest<V> = Option<(Instant, Outcome<V>)>;

impl<K, V> SharedReads<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Nothing is read before somebody asks; `shutdown` ends all reading.
    pub fn new(read: Read<K, V>, pace: Pace, tasks: Tasks, shutdown: Shutdown) -> Self {
        Self(Arc::new(Shared { read, pace, tasks, shutdown, places: Mutex::default() }))
    }

    /// The newest answer.
    ///
    /// # Errors
    /// Those of the read.
    pub async fn newest(&self, key: K) -> Outcome<V> {
        if let Some(mut newest) = self.join(&key) {
            let is_new =
                |newest: &Newest<V>| newest.as_ref().is_some_and(|(until, _)| Instant::now() <= *until);
            // An error: the task has ended, because everything does.
            if let Ok(newest) = newest.wait_for(is_new).await
                && let Some((_, outcome)) = newest.as_ref()
            {
                return outcome.clone();
            }
        }
        (self.0.read)(key).await
    }

    /// What is read of a key; `None` where it is one key too many.
    fn join(&self, key: &K) -> Option<watch::Receiver<Newest<V>>> {
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
        drop(self.0.tasks.spawn("console shared reads", async move {
            tokio::select! {
                () = reads.keep_reading(&key, &sender) => {}
                () = reads.0.shutdown.requested() => {}
            }
        }));
        Some(newest)
    }

    async fn keep_reading(&self, key: &K, newest: &watch::Sender<Newest<V>>) {
        loop {
            let begun = Instant::now();
            let outcome = (self.0.read)(key.clone()).await;
            let (read, pace) = (Instant::now(), self.0.pace);
            let took = read - begun;
            // One that failed is tried again as if it had cost nothing, but not at once: its error must not stay.
            let (rest, since) = if outcome.is_ok() { (pace.rest, begun) } else { (0, read) };
            // Who asks does not wait for a dear read that is late on purpose.
            let longer = if rest > 0 { took * (rest + 1) } else { Duration::ZERO };
            newest.send_replace(Some((read + pace.oldest + longer, outcome)));
            tokio::time::sleep_until((since + pace.interval).max(read + took * rest)).await;
            if self.is_deserted(key) {
                return;
            }
        }
    }

    /// Removes a key that nobody asked for; joining takes the same lock, so nobody is left with a key that is not read.
    fn is_deserted(&self, key: &K) -> bool {
        let mut places = self.places();
        let deserted = places.get(key).is_none_or(|place| place.asked_at.elapsed() > self.0.pace.linger);
        if deserted {
            places.remove(key);
        }
        deserted
    }

    fn places(&self) -> MutexGuard<'_, HashMap<K, Place<V>>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt;
    use warehouse::WarehouseError;

    use super::*;

    type Reads = SharedReads<String, u64>;

    const INTERVAL: Duration = LIVE.interval;
    const LINGER: Duration = LIVE.linger;

    /// Reads that take `takes` and are counted; an answer is its number.
    fn reads(takes: Duration) -> (Reads, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let read: Read<String, u64> = Arc::new(move |_| {
            let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                tokio::time::sleep(takes).await;
                Ok(number)
            }
            .boxed()
        });
        (Reads::new(read, LIVE, Tasks::new(), Shutdown::new()), count)
    }

    async fn number(reads: &Reads) -> u64 {
        reads.newest("7d".to_owned()).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn many_readers_share_one_read_a_second() {
        let (reads, count) = reads(Duration::from_millis(50));
        let asks = (0..100).map(|_| number(&reads));
        assert_eq!(futures_util::future::join_all(asks).await, vec![1; 100]);
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
        assert_eq!(number(&reads).await, 1);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let asked = Instant::now();
        assert_eq!((number(&reads).await, asked.elapsed()), (1, Duration::ZERO), "the second is being read");
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!((number(&reads).await, asked.elapsed()), (2, Duration::from_millis(600)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dear_read_rests_as_many_times_as_long_as_it_took_however_many_ask() {
        let (mut reads, count) = reads(Duration::from_secs(5));
        Arc::get_mut(&mut reads.0).unwrap().pace = Pace { rest: 9, ..LIVE };
        let asks = (0..50).map(|_| number(&reads));
        assert_eq!(futures_util::future::join_all(asks).await, vec![1; 50]);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(49) {
            let asked = Instant::now();
            assert!(number(&reads).await <= 2 && asked.elapsed() <= Duration::ZERO, "nobody waits");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(count.load(Ordering::Relaxed) <= 2, "{count:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_too_old_is_waited_for() {
        let (reads, _) = reads(Duration::from_secs(5));
        assert_eq!(number(&reads).await, 1);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(number(&reads).await, 2);
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
        assert_eq!(number(&reads).await, read + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_every_reader_reads_and_after_shutdown_too() {
        let (reads, count) = reads(Duration::ZERO);
        for index in 0..MAX_KEYS {
            reads.newest(index.to_string()).await.unwrap();
        }
        let before = count.load(Ordering::Relaxed);
        number(&reads).await;
        number(&reads).await;
        assert_eq!(count.load(Ordering::Relaxed), before + 2);
        reads.0.shutdown.request();
        reads.0.tasks.wait(Duration::from_secs(1)).await.unwrap();
        reads.newest("0".to_owned()).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), before + 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_shared_until_the_next_read_which_comes_soon_however_long_it_took() {
        let fails = Arc::new(AtomicU64::new(1));
        let still = Arc::clone(&fails);
        let read: Read<String, u64> = Arc::new(move |_| {
            let fails = still.load(Ordering::Relaxed) > 0;
            let error = WarehouseError::Timeout { statement: "live", limit: INTERVAL };
            let outcome = if fails { Err(error.into()) } else { Ok(1) };
            let takes = Duration::from_secs(if fails { 60 } else { 0 });
            tokio::time::sleep(takes).map(|()| outcome).boxed()
        });
        let dear = Pace { rest: 9, ..LIVE };
        let reads = Reads::new(read, dear, Tasks::new(), Shutdown::new());
        assert!(reads.newest("7d".to_owned()).await.is_err());
        fails.store(0, Ordering::Relaxed);
        assert!(reads.newest("7d".to_owned()).await.is_err());
        tokio::time::sleep(INTERVAL * 2).await;
        assert!(reads.newest("7d".to_owned()).await.is_ok());
    }
}
