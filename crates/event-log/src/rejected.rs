//! What was not taken, on its way to the people who look for it: events that the collector rejected, and records of the
//! log that the aggregator refused. Producers hand them to [`Rejections`]; the aggregator takes them from a
//! [`RejectedSource`] into the table `rejected_events`.
//!
//! Between the two lies `rungs.rejected.v1` on Kafka ([`crate::kafka`]), and a bounded queue where everything runs in one
//! process ([`queue`]). Best effort on purpose: nobody waits for a rejection, and one that finds no room is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kafka::KafkaRejections;

/// Bytes of what was rejected that are kept as a sample.
pub const REJECTED_SAMPLE_BYTES: usize = 1_024;
/// Bytes of each name (site, event, ids, endpoint, reason, topic) that are kept.
const NAME_BYTES: usize = 256;
/// Bytes of the message that are kept.
const MESSAGE_BYTES: usize = 512;
/// Rejected events that one collector keeps in a second, at most; all are counted in the metrics.
pub const MAX_REJECTED_KEPT_PER_SECOND: u64 = 100;
/// Rejections that wait within a process, at most.
const QUEUE: usize = 1_000;

/// What was not taken, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rejected {
    /// Names it: what is delivered twice has the same.
    pub id: String,
    /// When it was received; of a record of the log, when it was appended. UTC milliseconds.
    pub received_at_ms: i64,
    pub site: String,
    pub event: String,
    pub message_id: String,
    pub visitor_id: String,
    /// The collector's endpoint, or `log`.
    pub endpoint: String,
    /// A code, as in the metrics.
    pub reason: String,
    /// What exactly was wrong, for people.
    pub message: String,
    /// Its beginning.
    pub sample: String,
    /// Its length.
    pub bytes: u64,
    /// The topic that holds it; empty where it never reached the log.
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
}

impl Rejected {
    /// Within the bounds of each text.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let ids = [&mut self.id, &mut self.message_id, &mut self.visitor_id];
        let names = [&mut self.site, &mut self.event, &mut self.endpoint, &mut self.reason, &mut self.topic];
        for name in ids.into_iter().chain(names) {
            cut(name, NAME_BYTES);
        }
        cut(&mut self.message, MESSAGE_BYTES);
        cut(&mut self.sample, REJECTED_SAMPLE_BYTES);
        self
    }
}

/// Shortens a text at a character's end.
fn cut(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
}

/// Told of each rejection that is not kept.
pub type OnUnkept = Box<dyn Fn() + Send + Sync>;

/// Where rejections are handed over. Never waits.
pub struct Rejections {
    way: Way,
    /// The second that is under way, and how many were kept in it.
    second: AtomicU64,
    in_second: AtomicU64,
    on_unkept: std::sync::Arc<OnUnkept>,
}

enum Way {
    Kafka(KafkaRejections),
    Queue(SyncSender<Rejected>),
}

/// Gives rejections out; one thread asks.
pub trait RejectedSource: Send + Sync {
    /// Up to `limit` that were not taken yet; waits for the first one at most for `wait`.
    fn take(&mut self, limit: usize, wait: Duration) -> Vec<Rejected>;

    /// All that were taken are stored. Those that were taken and not stored come again, where they outlive the process.
    fn stored(&mut self);
}

/// The other end of [`queue`].
pub struct QueuedRejections(Mutex<Receiver<Rejected>>);

/// Rejections that do not leave the process.
pub fn queue(on_unkept: OnUnkept) -> (Rejections, QueuedRejections) {
    let (sender, receiver) = sync_channel(QUEUE);
    (Rejections::new(Way::Queue(sender), on_unkept), QueuedRejections(Mutex::new(receiver)))
}

impl Rejections {
    /// Rejections that go to Kafka.
    pub fn to_kafka(kafka: KafkaRejections, on_unkept: OnUnkept) -> Self {
        Self::new(Way::Kafka(kafka), on_unkept)
    }

    fn new(way: Way, on_unkept: OnUnkept) -> Self {
        let (second, in_second) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { way, second, in_second, on_unkept: std::sync::Arc::new(on_unkept) }
    }

    /// Hands over what `make` makes, unless [`MAX_REJECTED_KEPT_PER_SECOND`] were handed over in this second.
    pub fn sample(&self, now_ms: i64, make: impl FnOnce() -> Rejected) {
        if self.has_room(now_ms) { self.write(make()) } else { (self.on_unkept)() }
    }

    /// Several threads at the turn of a second may let a few more pass; the limit need not be exact.
    fn has_room(&self, now_ms: i64) -> bool {
        let second = now_ms.cast_unsigned() / 1_000;
        if self.second.swap(second, Ordering::AcqRel) != second {
            self.in_second.store(0, Ordering::Release);
        }
        self.in_second.fetch_add(1, Ordering::AcqRel) < MAX_REJECTED_KEPT_PER_SECOND
    }

    /// Hands a rejection over.
    pub fn write(&self, rejected: Rejected) {
        let rejected = rejected.bounded();
        match &self.way {
            Way::Kafka(kafka) => kafka.write(&rejected, &self.on_unkept),
            Way::Queue(sender) => {
                if sender.try_send(rejected).is_err() {
                    (self.on_unkept)();
                }
            }
        }
    }

    /// Waits for what is on its way, at most for `limit`. Blocks.
    pub fn close(&self, limit: Duration) {
        if let Way::Kafka(kafka) = &self.way {
            kafka.close(limit);
        }
    }
}

impl RejectedSource for QueuedRejections {
    fn take(&mut self, limit: usize, wait: Duration) -> Vec<Rejected> {
        let receiver = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let first = receiver.recv_timeout(wait);
        first.into_iter().chain(receiver.try_iter()).take(limit).collect()
    }

    fn stored(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn counted() -> (OnUnkept, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        let on_unkept = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        (Box::new(on_unkept), count)
    }

    fn rejected(id: u64) -> Rejected {
        Rejected { id: id.to_string(), ..Rejected::default() }
    }

    #[test]
    fn a_second_keeps_a_bounded_number_and_the_next_one_begins_anew() {
        let (on_unkept, unkept) = counted();
        let (rejections, mut source) = queue(on_unkept);
        for id in 0..MAX_REJECTED_KEPT_PER_SECOND + 50 {
            rejections.sample(5_000, || rejected(id));
        }
        rejections.sample(6_000, || rejected(1_000));
        let taken = source.take(usize::MAX, Duration::ZERO);
        assert_eq!(taken.len() as u64, MAX_REJECTED_KEPT_PER_SECOND + 1);
        assert_eq!(taken.last().unwrap().id, "1000");
        assert_eq!(unkept.load(Ordering::Relaxed), 50);
    }

    #[test]
    fn a_full_queue_counts_what_it_does_not_take_and_nobody_waits() {
        let (on_unkept, unkept) = counted();
        let (rejections, mut source) = queue(on_unkept);
        (0..QUEUE as u64 + 7).for_each(|id| rejections.write(rejected(id)));
        assert_eq!(unkept.load(Ordering::Relaxed), 7);
        assert_eq!(source.take(10, Duration::ZERO).len(), 10);
        drop(source);
        rejections.write(rejected(0));
        assert_eq!(unkept.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn texts_are_cut_at_a_characters_end() {
        let long = "ä".repeat(5_000);
        let text = || long.clone();
        let rejected = Rejected {
            id: text(),
            site: text(),
            event: text(),
            message_id: text(),
            visitor_id: text(),
            endpoint: text(),
            reason: text(),
            message: text(),
            sample: text(),
            topic: text(),
            received_at_ms: 0,
            bytes: 0,
            partition: 0,
            offset: 0,
        };
        let bounded = rejected.bounded();
        let Rejected { id, site, message_id, visitor_id, endpoint, reason, topic, .. } = &bounded;
        for name in [id, site, message_id, visitor_id, endpoint, reason, topic] {
            assert_eq!(name.len(), 256);
        }
        assert_eq!((bounded.event.len(), bounded.message.len(), bounded.sample.len()), (256, 512, 1_024));
    }
}
