//! The log as a lane takes it. Records of two kinds are not handed on as they stand:
//!
//! - **JSON** of other producers becomes the record that a collector would have written for it ([`Translate`]); what
//!   cannot be translated stays as it is, so that the lane refuses it.
//! - A record that made the fold **panic** is emptied, so that the lane refuses it too: [`Poisonous`] knows them by
//!   offset. The lane that panicked was given up whole and restored from the warehouse, so nothing of the record is
//!   applied, by any funnel.
//!
//! Translation depends on the record alone, so every reader of the log, now or after a restart, sees the same. What is
//! poisonous is known to this process only: after a restart the record panics once more, and is refused then.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use event_log::{Assignment, LogId, LogRecord, ReadError, Source};
use rungs_proto::view::RecordView;
use tokio::sync::{mpsc, watch};

use crate::lane::{WRONG_PARTITION, is_at_home};
use crate::panics::text_of;
use crate::refused::{PANICKED, PANICKED_MEANS, meaning};

/// Translates a JSON text of a partition (of so many). Other producers write what they like: a panic is a text that is no
/// event, and one in a partition that is not its visitor's stays as it was written, to be shown like that.
pub(crate) fn translated(
    translate: &Translate,
    record: &LogRecord,
    place: (u32, u32),
) -> Result<Vec<u8>, Untranslatable> {
    let translated = catch_unwind(AssertUnwindSafe(|| translate(&record.value, record.appended_at_ms)));
    let translated = translated.unwrap_or_else(|panic| {
        let cause = text_of(panic.as_ref());
        tracing::error!(cause, "translating a JSON record panicked; it is refused");
        Err(Untranslatable { reason: PANICKED, message: format!("{PANICKED_MEANS}: {cause}") })
    })?;
    match RecordView::decode(&translated) {
        Ok(RecordView::Event(event)) if !is_at_home(&event, place) => {
            Err(Untranslatable { reason: WRONG_PARTITION, message: meaning(WRONG_PARTITION).to_owned() })
        }
        _ => Ok(translated),
    }
}

/// Makes the bytes of a record of a JSON text and the time at which the log appended it.
pub type Translate = Arc<dyn Fn(&[u8], i64) -> Result<Vec<u8>, Untranslatable> + Send + Sync>;

/// Why a JSON text is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untranslatable {
    /// A code, as the collector's.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Offsets of a partition whose records make the fold panic. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Poisonous(Arc<RwLock<BTreeSet<u64>>>);

impl Poisonous {
    /// Whether it was not known before.
    pub(crate) fn add(&self, offset: u64) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(offset)
    }

    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.offsets().contains(&offset)
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets().len()
    }

    fn offsets(&self) -> RwLockReadGuard<'_, BTreeSet<u64>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A partition's records as lanes and builds take them.
pub(crate) struct Screened {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) translate: Translate,
    pub(crate) poisonous: Poisonous,
}

impl Screened {
    fn screen(&self, record: &mut LogRecord, place: (u32, u32), poisonous: &BTreeSet<u64>) {
        if poisonous.contains(&record.offset) {
            record.value = Bytes::new();
        } else if is_json(&record.value)
            && let Ok(translated) = translated(&self.translate, record, place)
        {
            record.value = translated.into();
        }
    }
}

/// No record of ours begins like this: it would be a field of a type that protobuf gave up.
pub(crate) fn is_json(value: &[u8]) -> bool {
    value.first() == Some(&b'{')
}

impl Source for Screened {
    fn id(&self) -> LogId {
        self.source.id()
    }

    fn partitions(&self) -> u32 {
        self.source.partitions()
    }

    fn read(&self, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<LogRecord>, ReadError> {
        let mut records = self.source.read(partition, from, max_bytes)?;
        let (place, poisonous) = ((partition, self.source.partitions()), self.poisonous.offsets());
        records.iter_mut().for_each(|record| self.screen(record, place, &poisonous));
        Ok(records)
    }

    fn end(&self, partition: u32) -> watch::Receiver<u64> {
        self.source.end(partition)
    }

    fn places(&self) -> u64 {
        self.source.places()
    }

    fn release(&self, partition: u32, offset: u64) {
        self.source.release(partition, offset);
    }

    fn assignments(&self) -> mpsc::Receiver<Assignment> {
        self.source.assignments()
    }
}

#[cfg(test)]
mod tests {
    use event_log::memory::MemoryLog;
    use event_log::{Message, Publisher, SystemClock, partition_of};
    use prost::Message as _;
    use rungs_proto::v1::{Event, Record, record::Body};

    use super::*;

    #[test]
    fn json_becomes_a_record_in_its_visitors_partition_only() {
        let translate: Translate = Arc::new(|_, _| {
            let event = Event { site: "shop".into(), visitor_id: "ann".into(), ..Event::default() };
            Ok(Record { body: Some(Body::Event(event)) }.encode_to_vec())
        });
        let log = Arc::new(MemoryLog::new(4, Arc::new(SystemClock)));
        let json = Bytes::from_static(b"{\"site\":\"shop\",\"userId\":\"ann\"}");
        let message = |partition| Message { partition, value: json.clone() };
        drop(log.publish((0..4).map(message).collect()).unwrap());
        let screened = Screened { source: log, translate, poisonous: Poisonous::default() };
        for partition in 0..4 {
            let [record] = &screened.read(partition, 0, 1_000).unwrap()[..] else { unreachable!() };
            let is_at_home = partition == partition_of("shop", "ann", 4);
            assert_eq!(is_json(&record.value), !is_at_home, "{partition}");
        }
    }
}
