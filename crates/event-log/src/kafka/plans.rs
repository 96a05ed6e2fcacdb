//! The plan topic on Kafka: compacted, one partition. A record's key is the plan's number and something unique, its value
//! the plan file's text, its headers `number` and `applied_at_ms`.
//!
//! **Which plan is in force** is a fold over the offsets: a record counts if its number is larger than that of the one
//! that counted before. So of two appliers that race with the same number the first offset wins, for everybody and for
//! ever: keys differ, therefore compaction removes neither. An applier learns whether its record counted by reading it
//! back, and removes it (a tombstone) if it did not; likewise plans beyond the last 100.
//!
//! A thread follows the topic from its beginning; [`KafkaPlans::open`] returns when it has come to the end. Numbers race within
//! one topic: one that was lost and created again counts from 1, and its plans replace those of the topic before. Until it
//! holds one, the last plan stays.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Headers, Message as _, OwnedHeaders};
use tokio::sync::watch;

use super::follower::{self, Follow, Follower};
use super::publisher::KafkaPublisher;
use super::settings::KafkaSettings;
use super::{KafkaError, topics};
use crate::{PlanError, PlanRecord, PlanTopic, ReadError};

/// How many plans the topic keeps.
const KEPT: usize = 100;
/// How long following the topic to its end may take.
const FOLLOW_LIMIT: Duration = Duration::from_secs(30);

const NUMBER: &str = "number";
const APPLIED_AT_MS: &str = "applied_at_ms";

/// The plan topic. Dropping it ends its thread.
pub struct KafkaPlans {
    shared: Arc<Shared>,
    settings: KafkaSettings,
    /// Made for the first plan that is appended: most processes only follow.
    publisher: OnceLock<Result<KafkaPublisher, String>>,
    appends: Mutex<()>,
    _follower: Follower,
}

struct Shared {
    topic: String,
    followed: Mutex<Followed>,
    moved: Condvar,
    latest: watch::Sender<Option<Arc<PlanRecord>>>,
}

/// The topic up to an offset.
#[derive(Debug, Default)]
struct Followed {
    /// The next offset to come.
    next: i64,
    was_at_end: bool,
    /// Plans that counted, by number, with their keys.
    plans: BTreeMap<u64, (Vec<u8>, PlanRecord)>,
    /// The largest number that ever counted.
    latest: u64,
}

impl KafkaPlans {
    /// Follows the topic to its end, then on.
    ///
    /// # Errors
    /// As [`ensure_topics`](super::ensure_topics), which it calls.
    pub fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        topics::ensure(settings)?;
        let shared = Arc::new(Shared {
            topic: settings.plan_topic(),
            followed: Mutex::default(),
            moved: Condvar::new(),
            latest: watch::Sender::new(None),
        });
        let follower = Follower::start(settings, &shared.topic, "plans", Arc::clone(&shared))?;
        let (publisher, appends, settings) = (OnceLock::new(), Mutex::new(()), settings.clone());
        let plans = Self { shared, settings, publisher, appends, _follower: follower };
        let followed = plans.shared.wait(|followed| followed.was_at_end);
        followed.map_err(|cause| KafkaError::unreachable(&plans.settings, cause))?;
        Ok(plans)
    }

    /// The settings that it was opened with; the topics are as they say.
    pub(super) fn settings(&self) -> &KafkaSettings {
        &self.settings
    }

    fn publisher(&self) -> Result<&KafkaPublisher, PlanError> {
        let open = || KafkaPublisher::open(&self.settings).map_err(|error| error.to_string());
        self.publisher.get_or_init(open).as_ref().map_err(|cause| PlanError::Storage(cause.clone()))
    }

    /// Writes a record, or a tombstone, and gives its offset.
    fn write(&self, key: &[u8], plan: Option<&PlanRecord>) -> Result<i64, PlanError> {
        let (topic, value) = (&self.shared.topic, plan.map(|plan| plan.text.as_bytes()));
        let appended = follower::append(self.publisher()?, topic, key, value, plan.map(headers));
        appended.map_err(|error| PlanError::Storage(error.to_string()))
    }

    /// Removes records; what fails is tried again by the next append.
    fn remove(&self, keys: Vec<Vec<u8>>) {
        for key in keys {
            if let Err(error) = self.write(&key, None) {
                tracing::info!(%error, "an old plan stays in its topic for now");
            }
        }
    }
}

impl PlanTopic for KafkaPlans {
    /// Blocks until the plan is known to count or not.
    fn append(&self, plan: PlanRecord) -> Result<(), PlanError> {
        let _one_at_a_time = self.appends.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = self.shared.followed().latest;
        let number = plan.number;
        if number <= latest {
            return Err(PlanError::Outdated { number, latest });
        }
        let key = format!("{number}-{}", uuid::Uuid::new_v4()).into_bytes();
        let offset = self.write(&key, Some(&plan))?;
        self.shared.wait(|followed| followed.next > offset).map_err(PlanError::Storage)?;
        let (counted, latest, surplus) = self.shared.followed().outcome(number, &key);
        if !counted {
            self.remove(vec![key]);
            return Err(PlanError::Outdated { number, latest });
        }
        self.remove(surplus);
        Ok(())
    }

    fn latest(&self) -> watch::Receiver<Option<Arc<PlanRecord>>> {
        self.shared.latest.subscribe()
    }

    fn history(&self) -> Result<Vec<PlanRecord>, ReadError> {
        let followed = self.shared.followed();
        let surplus = followed.plans.len().saturating_sub(KEPT);
        Ok(followed.plans.values().skip(surplus).map(|(_, plan)| plan.clone()).collect())
    }
}

impl Followed {
    /// Takes a tombstone.
    fn remove(&mut self, key: &[u8]) {
        self.plans.retain(|_, (known, _)| known != key);
    }

    /// Takes the record after those before; the plan if it counts.
    fn take(&mut self, key: &[u8], plan: PlanRecord) -> Option<Arc<PlanRecord>> {
        if plan.number <= self.latest {
            return None;
        }
        self.latest = plan.number;
        self.plans.insert(plan.number, (key.to_vec(), plan.clone()));
        Some(Arc::new(plan))
    }

    /// Whether the record with this key counted, which number is in force, and the keys of plans beyond the last 100.
    fn outcome(&self, number: u64, key: &[u8]) -> (bool, u64, Vec<Vec<u8>>) {
        let counted = self.plans.get(&number).is_some_and(|(known, _)| known == key);
        let surplus = self.plans.len().saturating_sub(KEPT);
        let surplus = self.plans.values().take(surplus).map(|(key, _)| key.clone());
        (counted, self.latest, surplus.collect())
    }
}

impl Shared {
    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the topic was followed so far.
    fn wait(&self, far_enough: impl Fn(&Followed) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + FOLLOW_LIMIT;
        let mut followed = self.followed();
        while !far_enough(&followed) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("topic {} could not be read in time", self.topic));
            }
            let waited = self.moved.wait_timeout(followed, left);
            followed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl Follow for Shared {
    fn take(&self, message: &BorrowedMessage<'_>) {
        let plan = message.payload().map(|value| decode(message, value));
        let mut followed = self.followed();
        followed.next = message.offset() + 1;
        match plan {
            None => followed.remove(message.key().unwrap_or_default()),
            Some(Some(plan)) => {
                if let Some(plan) = followed.take(message.key().unwrap_or_default(), plan) {
                    self.latest.send_replace(Some(plan));
                }
            }
            Some(None) => {
                let offset = message.offset();
                tracing::warn!(offset, topic = self.topic, "a record that is no plan is passed over");
            }
        }
        drop(followed);
        self.moved.notify_all();
    }

    fn at_end(&self) {
        self.followed().was_at_end = true;
        self.moved.notify_all();
    }

    fn begin_anew(&self) {
        *self.followed() = Followed::default();
    }
}

fn headers(plan: &PlanRecord) -> OwnedHeaders {
    let (number, applied_at) = (plan.number.to_string(), plan.applied_at_ms.to_string());
    let header = |key, value| rdkafka::message::Header { key, value };
    OwnedHeaders::new().insert(header(NUMBER, Some(&number))).insert(header(APPLIED_AT_MS, Some(&applied_at)))
}

fn decode(message: &BorrowedMessage<'_>, value: &[u8]) -> Option<PlanRecord> {
    let headers = message.headers()?;
    let text = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    Some(PlanRecord {
        number: text(NUMBER)?.parse().ok()?,
        applied_at_ms: text(APPLIED_AT_MS)?.parse().ok()?,
        text: String::from_utf8(value.to_vec()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(number: u64) -> PlanRecord {
        PlanRecord { number, applied_at_ms: 0, text: String::new() }
    }

    #[test]
    fn of_records_with_one_number_the_first_counts_and_lower_ones_never_do() {
        let mut followed = Followed::default();
        assert!(followed.take(b"5-a", plan(5)).is_some());
        assert!(followed.take(b"5-b", plan(5)).is_none());
        assert!(followed.take(b"4-a", plan(4)).is_none());
        assert_eq!(followed.outcome(5, b"5-a"), (true, 5, vec![]));
        assert_eq!(followed.outcome(5, b"5-b"), (false, 5, vec![]));
        followed.remove(b"5-b");
        assert!(followed.outcome(5, b"5-a").0, "a tombstone of the loser leaves the winner");
    }

    #[test]
    fn plans_beyond_the_last_hundred_are_to_be_removed() {
        let mut followed = Followed::default();
        for number in 1..=102 {
            followed.take(format!("{number}").as_bytes(), plan(number));
        }
        assert_eq!(followed.outcome(102, b"102").2, [b"1".to_vec(), b"2".to_vec()]);
    }
}
