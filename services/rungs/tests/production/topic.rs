//! The log as it is: every event in the topic with its partition's clock, read without the services.

use collector::event_of_json;
use event_log::Source;
use event_log::kafka::{KafkaSettings, KafkaSource};
use rungs_proto::view::RecordView;
use runtime::settings::CollectorSettings;

use crate::program::expected::Stored;

/// The user of events that tests write into the topic and that are not to be taken.
pub(crate) const REFUSED: &str = "refused";

/// An event and where the log has it.
pub(crate) struct Logged {
    pub(crate) event: Stored,
    /// The largest append time of the partition up to this event.
    pub(crate) clock_ms: i64,
}

/// Reads all partitions to their present ends: first copies only, by partition, in their order. `copies` is how many
/// others there are.
pub(crate) fn read(settings: &KafkaSettings) -> (Vec<Logged>, usize) {
    let source = KafkaSource::open(settings).unwrap();
    let (mut first, mut copies) = (Vec::new(), 0);
    let mut known = std::collections::HashSet::new();
    for partition in 0..source.partitions() {
        let end = *source.end(partition).borrow();
        let (mut next, mut clock_ms) = (0, 0);
        while next < end {
            for record in source.read(partition, next, 1 << 20).unwrap() {
                next = record.offset + 1;
                clock_ms = record.appended_at_ms.max(clock_ms);
                let value = match record.value.first() {
                    Some(b'{') => {
                        let settings = CollectorSettings::default();
                        event_of_json(&record.value, record.appended_at_ms, &settings).unwrap_or_default()
                    }
                    _ => record.value.to_vec(),
                };
                let Ok(RecordView::Event(mut event)) = RecordView::decode(&value) else { continue };
                if event.user_id == REFUSED {
                    continue;
                }
                if event.own_ts_ms == 0 {
                    event.own_ts_ms = event.ts_ms;
                }
                if known.insert((event.visitor_id.to_owned(), event.message_id.to_owned())) {
                    first.push(Logged { event: Stored::of(&event, clock_ms), clock_ms });
                } else {
                    copies += 1;
                }
            }
        }
    }
    (first, copies)
}
