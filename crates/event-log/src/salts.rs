//! The salts by which visitors without an id of their own are told apart: one a day (UTC), random, the same for all
//! collectors. An id that was made with a day's salt cannot be made again, nor led back to what it was made of, once the
//! salt is gone; so nobody keeps one: a process forgets it when its day is over, and where it is stored it is deleted.
//!
//! [`KafkaSalts`](crate::kafka::KafkaSalts) shares them over a topic, [`SaltFile`](crate::local::SaltFile) keeps them for
//! one process. Collectors write tomorrow's salt at noon, so that an outage of half a day costs no day its salt.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;
/// From this hour on tomorrow's salt is written too.
const AHEAD_FROM_HOUR: i64 = 12;
/// Requests that arrived before midnight may be answered so much later.
const KEPT_AFTER_MS: i64 = 5 * 60_000;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A day's salt. It does not show itself in logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; SALT_BYTES]);

/// The salts of the days that are not over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salts {
    /// By days since 1970.
    by_day: BTreeMap<i64, Salt>,
}

/// Where salts are shared.
pub trait SaltTopic: Send + Sync + 'static {
    /// Adds a day's salt durably. Where the day has one already, that one stays.
    ///
    /// # Errors
    /// A text that says why it could not be stored.
    fn append(&self, day: i64, salt: Salt) -> Result<(), String>;

    /// What is known; `None` until everything that was there has been read.
    fn known(&self) -> watch::Receiver<Option<Arc<Salts>>>;

    /// Forgets the days before this one.
    fn forget_before(&self, day: i64);
}

impl Salt {
    /// A new one.
    pub fn random() -> Self {
        let mut salt = [0; SALT_BYTES];
        for half in salt.chunks_exact_mut(16) {
            half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Self(salt)
    }

    /// From its bytes, if there are as many as there must be.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// Its bytes, for hashing and storing.
    pub fn bytes(&self) -> &[u8; SALT_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Salt(…)")
    }
}

impl Salts {
    /// The salt of the day in which a time lies, UTC milliseconds.
    pub fn at(&self, time_ms: i64) -> Option<&Salt> {
        self.by_day.get(&day_of(time_ms))
    }

    /// Takes a day's salt, unless the day has one; whether it was taken.
    pub fn take(&mut self, day: i64, salt: Salt) -> bool {
        let is_new = !self.by_day.contains_key(&day);
        self.by_day.entry(day).or_insert(salt);
        is_new
    }

    /// Forgets the days before this one; whether there were any.
    pub fn forget_before(&mut self, day: i64) -> bool {
        let later = self.by_day.split_off(&day);
        !std::mem::replace(&mut self.by_day, later).is_empty()
    }

    /// The days with their salts.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Salt)> {
        self.by_day.iter().map(|(day, salt)| (*day, salt))
    }
}

/// Forgets past days and, where salts are wanted, writes those that the present and the coming day lack. To be called every
/// minute or so.
///
/// # Errors
/// As [`SaltTopic::append`].
pub fn keep_up(topic: &dyn SaltTopic, now_ms: i64, are_wanted: bool) -> Result<(), String> {
    topic.forget_before(day_of(now_ms - KEPT_AFTER_MS));
    let Some(known) = topic.known().borrow().clone().filter(|_| are_wanted) else { return Ok(()) };
    let ahead = DAY_MS - AHEAD_FROM_HOUR * HOUR_MS;
    for day in day_of(now_ms)..=day_of(now_ms + ahead) {
        if !known.by_day.contains_key(&day) {
            topic.append(day, Salt::random())?;
        }
    }
    Ok(())
}

fn day_of(time_ms: i64) -> i64 {
    time_ms.div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct InMemory(watch::Sender<Option<Arc<Salts>>>, Mutex<Vec<i64>>);

    impl SaltTopic for InMemory {
        fn append(&self, day: i64, salt: Salt) -> Result<(), String> {
            self.1.lock().unwrap().push(day);
            self.0.send_if_modified(|known| Arc::make_mut(known.as_mut().unwrap()).take(day, salt));
            Ok(())
        }

        fn known(&self) -> watch::Receiver<Option<Arc<Salts>>> {
            self.0.subscribe()
        }

        fn forget_before(&self, day: i64) {
            let forget = |known: &mut Option<Arc<Salts>>| {
                known.as_mut().is_some_and(|known| Arc::make_mut(known).forget_before(day))
            };
            self.0.send_if_modified(forget);
        }
    }

    #[test]
    fn a_day_has_one_salt_written_half_a_day_ahead_and_forgotten_when_it_is_over() {
        let topic = InMemory(watch::Sender::new(None), Mutex::default());
        let at = |hours: i64| keep_up(&topic, hours * HOUR_MS, true).unwrap();
        at(1);
        assert!(topic.1.lock().unwrap().is_empty(), "not before the topic was read");
        topic.0.send_replace(Some(Arc::default()));
        let days = || topic.known().borrow().as_ref().unwrap().iter().map(|(day, _)| day).collect::<Vec<_>>();
        for (hours, known) in [(1, vec![0]), (11, vec![0]), (12, vec![0, 1]), (24, vec![0, 1]), (25, vec![1])]
        {
            at(hours);
            assert_eq!(days(), known, "after {hours} hours");
        }
        let before = *topic.known().borrow().as_ref().unwrap().at(25 * HOUR_MS).unwrap();
        at(26);
        assert_eq!(topic.known().borrow().as_ref().unwrap().at(25 * HOUR_MS), Some(&before));
        assert_eq!(*topic.1.lock().unwrap(), [0, 1]);
        keep_up(&topic, 49 * HOUR_MS, false).unwrap();
        assert!(days().is_empty(), "also where no site wants them any more");
    }

    #[test]
    fn the_first_salt_of_a_day_stays_and_none_shows_itself() {
        let mut salts = Salts::default();
        let (first, second) = (Salt::random(), Salt::random());
        assert_ne!(first, second);
        assert!(salts.take(3, first) && !salts.take(3, second));
        assert_eq!(salts.at(3 * DAY_MS + 5), Some(&first));
        assert_eq!(format!("{salts:?}"), "Salts { by_day: {3: Salt(…)} }");
    }
}
