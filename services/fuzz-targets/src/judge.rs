//! What holds for whatever a decoder accepted, whoever sent it and in whatever form.

use aggregator::funnel_lane::PartitionId;
use aggregator::lane::admit;
use collector::decoding::Decoded;
use collector::limits::{
    MAX_EVENT_NAME_BYTES, MAX_MESSAGE_ID_BYTES, MAX_NESTING, MAX_VISITOR_ID_BYTES, MIN_TIMESTAMP_MS,
};
use collector::refusal::Refusal;
use prost::Message;
use rungs_proto::v1::{Event, Record, record::Body};
use rungs_proto::view::RecordView;
use serde_json::{Map, Value, json};

use crate::wire::{RECEIVED_AT_MS, SITE, event_of, sent_again, settings};

/// Judges everything that was accepted.
pub(crate) fn judge(decoded: &Result<Decoded, Refusal>) {
    let Ok(decoded) = decoded else { return };
    assert!(decoded.events.len() <= settings().max_batch_events, "too many: {}", decoded.events.len());
    decoded.events.iter().flatten().for_each(|record| judge_record(record, sent_to_collector));
}

/// Judges the bytes of one record. `send` sends our own form of it the same way and gives the record that it comes to.
pub(crate) fn judge_record(record: &[u8], send: impl Fn(&str) -> Vec<u8>) {
    let event = event_of(record);
    let again = Record { body: Some(Body::Event(event.clone())) };
    assert_eq!(again.encode_to_vec(), record, "prost writes other bytes");
    judge_limits(&event);
    judge_admission(record);
    judge_sending_again(&event, send);
}

fn judge_limits(event: &Event) {
    for (what, text, most) in [
        ("event", &event.event, MAX_EVENT_NAME_BYTES),
        ("visitor_id", &event.visitor_id, MAX_VISITOR_ID_BYTES),
        ("message_id", &event.message_id, MAX_MESSAGE_ID_BYTES),
    ] {
        assert!((1..=most).contains(&text.len()), "{what}: {text:?}");
    }
    assert!(event.user_id.len() <= MAX_VISITOR_ID_BYTES);
    assert!(!event.event.chars().any(char::is_control), "{:?}", event.event);
    assert!((MIN_TIMESTAMP_MS..=RECEIVED_AT_MS).contains(&event.ts_ms), "{}", event.ts_ms);
    assert_eq!((event.received_at_ms, event.site.as_str()), (RECEIVED_AT_MS, SITE));
    for text in [&event.properties, &event.context].into_iter().filter(|text| !text.is_empty()) {
        let object: Map<String, Value> =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let depth = object.values().map(depth).max().unwrap_or_default();
        assert!(depth <= MAX_NESTING, "{depth} levels: {text}");
        // A mask may be longer than what it stands for, and a page's name comes to its properties.
        assert!(text.len() <= 8 * settings().max_event_bytes, "{} bytes", text.len());
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// The aggregator takes it as it is.
fn judge_admission(record: &[u8]) {
    let Ok(RecordView::Event(mut event)) = RecordView::decode(record) else {
        panic!("no event to the aggregator")
    };
    let before = event;
    let partition =
        PartitionId { log_id: String::new(), epoch: 1, generation_floor: 0, partition: 0, partitions: 1 };
    assert_eq!(admit(&mut event, RECEIVED_AT_MS, &partition), Ok(()));
    // Zero is how JSON and protobuf write no time; nothing else is filled in.
    assert!(event == before || before.own_ts_ms == 0, "{before:?} became {event:?}");
}

/// Sent again in our own form it is the same event: nothing was made of it that would not be taken.
fn judge_sending_again(event: &Event, send: impl Fn(&str) -> Vec<u8>) {
    let raw = |text: &str| if text.is_empty() { "{}".to_owned() } else { text.to_owned() };
    let kind = event.kind().as_str_name().trim_start_matches("KIND_").to_lowercase();
    let text = format!(
        r#"{{"site":{},"type":{},"event":{},"anonymousId":{},"userId":{},"messageId":{},"timestamp":{},"properties":{},"context":{}}}"#,
        json!(event.site),
        json!(kind),
        json!(event.event),
        json!(event.visitor_id),
        json!(event.user_id),
        json!(event.message_id),
        event.ts_ms,
        raw(&event.properties),
        raw(&event.context),
    );
    let again = event_of(&send(&text));
    let shown = |event: &Event| {
        let names = [&event.visitor_id, &event.user_id, &event.message_id, &event.event].map(Clone::clone);
        (names, event.kind, event.ts_ms, raw(&event.properties), without_referrer(&event.context))
    };
    assert_eq!(shown(&again), shown(event));
}

/// Of a referrer only the host is stored, which is no address any more.
fn without_referrer(context: &str) -> Value {
    let mut context = if context.is_empty() { json!({}) } else { serde_json::from_str(context).unwrap() };
    let Some(fields) = context.as_object_mut() else { return context };
    if let Some(page) = fields.get_mut("page").and_then(Value::as_object_mut) {
        page.remove("referrer");
    }
    fields.retain(|_, value| *value != json!({}));
    context
}

/// A collector reads over a site.
fn sent_to_collector(text: &str) -> Vec<u8> {
    let decoded = sent_again(text).unwrap_or_else(|refusal| panic!("{refusal}: {text}"));
    let [Ok(record)] = &decoded.events[..] else { panic!("{:?}: {text}", decoded.events) };
    record.clone()
}
