//! What becomes of a record of the log that is not taken: it is shown to people with its place, the reason, and what can
//! be told of it. One that made a fold panic is also counted, and emptied for whoever reads it again ([`Poisonous`]),
//! whether the lane found it or one of its builds. A raw event that does so is counted and shown as well, and builds leave
//! it out ([`RefusedRaw`]).

use event_log::LogRecord;
use event_log::rejected::{REJECTED_SAMPLE_BYTES, Rejected};
use funnel::intake::{message_hash, visitor_hash};
use prometheus::IntCounter;
use rungs_proto::view::RecordView;

use crate::lane::WRONG_PARTITION;
use crate::refused_raw::{PanickedRaw, RefusedRaw};
use crate::run::Foreign;
use crate::screened::{Poisonous, Translate, is_json, translated};

/// The reason of a record that made the fold panic.
pub(crate) const PANICKED: &str = "panicked";
pub(crate) const PANICKED_MEANS: &str =
    "counting it failed by a defect of this program: please report it with the record";

/// Where the records of a partition go that are not taken. The lane and its builds hold clones.
#[derive(Clone)]
pub(crate) struct Refusals {
    pub(crate) foreign: Foreign,
    /// The partition, of so many.
    pub(crate) place: (u32, u32),
    /// How many offsets one record of the log's storage takes ([`event_log::Source::places`]).
    pub(crate) places: u64,
    pub(crate) poisonous: Poisonous,
    pub(crate) raw: RefusedRaw,
    /// Counts those that panicked.
    pub(crate) panicked: IntCounter,
}

impl Refusals {
    /// Shows people a record that is not taken. One that panicked was shown then.
    pub(crate) fn refuse(&self, record: &LogRecord, reason: &str) {
        if !self.poisonous.contains(record.offset) {
            self.show(record, reason);
        }
    }

    /// Refuses a record from now on that made a fold panic. Lane and builds may find the same one.
    pub(crate) fn condemn(&self, record: &LogRecord) {
        if self.poisonous.add(record.offset) {
            self.panicked.inc();
            self.show(record, PANICKED);
        }
    }

    /// Refuses a raw event from now on that made a build panic. Several builds may find the same one.
    pub(crate) fn condemn_raw(&self, found: &PanickedRaw, now_ms: i64) {
        if self.raw.add(&found.site, &found.event) {
            self.panicked.inc();
            self.foreign.rejections.write(raw_rejection(found, now_ms));
        }
    }

    fn show(&self, record: &LogRecord, reason: &str) {
        let Foreign { topic, rejections, translate } = &self.foreign;
        let mut rejected = rejection(topic, self.place, record, reason, translate);
        self.locate(&mut rejected);
        rejections.write(rejected);
    }

    /// Tells the place by the storage's own offset, for people who look there.
    fn locate(&self, rejected: &mut Rejected) {
        let behind = self.places - 1 - rejected.offset % self.places;
        rejected.offset /= self.places;
        if behind > 0 {
            let found = format!(" (its record of the topic holds several; {behind} are behind it)");
            rejected.message.push_str(&found);
        }
    }
}

/// The rejection of a record. What its JSON lacks is told by the translation that failed.
fn rejection(
    topic: &str,
    place: (u32, u32),
    record: &LogRecord,
    reason: &str,
    translate: &Translate,
) -> Rejected {
    let (partition, _) = place;
    let value = record.value.as_ref();
    let sample = value.get(..REJECTED_SAMPLE_BYTES).unwrap_or(value);
    let mut rejected = Rejected {
        id: format!("{topic}-{partition}-{}", record.offset),
        received_at_ms: record.appended_at_ms,
        endpoint: "log".to_owned(),
        reason: reason.to_owned(),
        message: meaning(reason).to_owned(),
        sample: String::from_utf8_lossy(sample).into_owned(),
        bytes: value.len() as u64,
        topic: topic.to_owned(),
        partition,
        offset: record.offset,
        ..Rejected::default()
    };
    if let Ok(RecordView::Event(event)) = RecordView::decode(value) {
        rejected.site = event.site.to_owned();
        rejected.event = event.event.to_owned();
        rejected.message_id = event.message_id.to_owned();
        rejected.visitor_id = event.visitor_id.to_owned();
        // The bytes of a record are no text for people, and hold more than its names.
        rejected.sample = String::new();
    } else if is_json(value) && reason != PANICKED {
        if let Err(why) = translated(translate, record, place) {
            (rejected.reason, rejected.message) = (why.reason.to_owned(), why.message);
        }
        name(&mut rejected, value);
    }
    rejected
}

/// The rejection of a raw event. Its place in the log is `events`' to tell: it may be one of a log before.
fn raw_rejection(found: &PanickedRaw, now_ms: i64) -> Rejected {
    let PanickedRaw { site, event, cause } = found;
    let (visitor, message) = (visitor_hash(&event.visitor_id), message_hash(&event.message_id));
    Rejected {
        id: format!("raw-{:016x}-{visitor:032x}-{message:016x}", message_hash(site)),
        received_at_ms: now_ms,
        endpoint: "build".to_owned(),
        reason: PANICKED.to_owned(),
        message: format!("{PANICKED_MEANS}; it is stored, and builds from raw leave it out: {cause}"),
        site: site.clone(),
        event: event.event.clone(),
        message_id: event.message_id.clone(),
        visitor_id: event.visitor_id.clone(),
        ..Rejected::default()
    }
}

/// The names in a JSON text that is no event of ours.
fn name(rejected: &mut Rejected, value: &[u8]) {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(value) else { return };
    let text = |key: &str| json.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    (rejected.site, rejected.event, rejected.message_id) = (text("site"), text("event"), text("messageId"));
    let visitor = text("anonymousId");
    rejected.visitor_id = if visitor.is_empty() { text("userId") } else { visitor };
}

/// What a reason says, for people; nothing, if it is none of these.
pub(crate) fn meaning(reason: &str) -> &'static str {
    match reason {
        "not_a_record" => "it is neither a record of rungs.v1 nor a JSON object",
        "not_a_control_record" => "it begins like a control record and is none",
        "invalid_site" => "`site` is missing or longer than 256 bytes",
        "invalid_visitor" => "the visitor is missing, or it or the user is longer than 256 bytes",
        "invalid_message_id" => "the message id is missing or longer than 256 bytes",
        "invalid_event_name" => "the event's name is missing or longer than 256 bytes",
        "invalid_timestamp" => "the event's time is before the year 2000",
        WRONG_PARTITION => {
            "it is in another partition than its visitor's: the message's key must be site, a zero byte and visitor id, and \
             the partition that of Kafka's default partitioner (murmur2 of the key)"
        }
        PANICKED => PANICKED_MEANS,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use event_log::rejected::RejectedSource;
    use prost::Message;
    use rungs_proto::v1::{Event, Record, record::Body};

    use super::*;
    use crate::screened::Untranslatable;
    use crate::small_lane::refusals;

    /// Translates no JSON.
    fn nothing() -> Translate {
        Arc::new(|_, _| unreachable!("there is no JSON"))
    }

    fn record(value: impl Into<Bytes>) -> LogRecord {
        LogRecord { offset: 9, appended_at_ms: 7, value: value.into() }
    }

    #[test]
    fn garbage_is_shown_with_its_place_and_a_bounded_sample() {
        let value = [b"\x0f\xff".as_slice(), &[b'x'; 5_000]].concat();
        let shown = rejection("rungs.events.v1", (3, 4), &record(value), "not_a_record", &nothing());
        assert_eq!(
            (shown.id.as_str(), shown.bytes, shown.partition, shown.offset),
            ("rungs.events.v1-3-9", 5_002, 3, 9)
        );
        assert!(shown.sample.starts_with("\u{f}\u{fffd}xx") && shown.sample.len() < 1_100);
        assert!(shown.message.contains("JSON object"), "{}", shown.message);
    }

    #[test]
    fn an_event_is_shown_by_its_names_and_not_by_its_bytes() {
        let event =
            Event { site: "shop".into(), visitor_id: "ann".into(), event: "view".into(), ..Event::default() };
        let value = Record { body: Some(Body::Event(event)) }.encode_to_vec();
        let shown = rejection("t", (0, 1), &record(value), "invalid_message_id", &nothing());
        assert_eq!(
            (shown.site.as_str(), shown.visitor_id.as_str(), shown.sample.as_str()),
            ("shop", "ann", "")
        );
    }

    #[test]
    fn a_record_that_panics_is_counted_and_shown_once_whoever_finds_it() {
        let (refusals, mut shown) = refusals(3);
        let record = record(b"what breaks".to_vec());
        refusals.condemn(&record);
        refusals.clone().condemn(&record);
        // As the lane that reads it again finds it, emptied.
        refusals.refuse(&LogRecord { value: Bytes::new(), ..record }, "not_a_record");
        let shown = shown.take(10, Duration::ZERO);
        let places: Vec<_> =
            shown.iter().map(|shown| (shown.reason.as_str(), shown.partition, shown.offset)).collect();
        assert_eq!(places, [(PANICKED, 3, 9)]);
        assert_eq!((refusals.panicked.get(), shown[0].sample.as_str()), (1, "what breaks"));
    }

    #[test]
    fn one_of_several_in_a_record_is_shown_with_the_topics_offset_and_its_place() {
        let (mut refusals, mut shown) = refusals(3);
        refusals.places = 100;
        for offset in [799, 796] {
            refusals.refuse(&LogRecord { offset, ..record(b"x".to_vec()) }, "not_a_record");
        }
        let shown = shown.take(10, Duration::ZERO);
        assert_eq!((shown[0].offset, shown[1].offset), (7, 7));
        assert_ne!(shown[0].id, shown[1].id);
        assert!(shown[1].message.ends_with("holds several; 3 are behind it)"), "{}", shown[1].message);
        assert!(shown[0].message.ends_with("JSON object"), "{}", shown[0].message);
    }

    #[test]
    fn a_json_text_whose_translation_panics_is_refused() {
        let translate: Translate = Arc::new(|_, _| panic!("what is this"));
        let shown = rejection("t", (0, 1), &record(b"{}".to_vec()), "not_a_record", &translate);
        assert_eq!(shown.reason, PANICKED);
        assert!(shown.message.ends_with("what is this"), "{}", shown.message);
    }

    #[test]
    fn a_json_text_tells_what_its_translation_lacked() {
        let translate: Translate = Arc::new(|_, _| {
            Err(Untranslatable { reason: "missing_event", message: "it has no name".into() })
        });
        let value = br#"{"site":"shop","userId":"u","messageId":"m"}"#.to_vec();
        let shown = rejection("t", (0, 1), &record(value), "not_a_record", &translate);
        assert_eq!((shown.reason.as_str(), shown.message.as_str()), ("missing_event", "it has no name"));
        assert_eq!(
            (shown.site.as_str(), shown.visitor_id.as_str(), shown.message_id.as_str()),
            ("shop", "u", "m")
        );
    }
}
