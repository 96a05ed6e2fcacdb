//! Event time: what the client says, corrected only for a clock that is far off.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{Running, start};

fn iso(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap().to_string()
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

async fn stored(running: &Running, timestamp: Value, sent_at: Value) -> rungs_proto::v1::Event {
    running.stored(json!({"event": "e", "anonymousId": "v", "timestamp": timestamp, "sentAt": sent_at})).await
}

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn without_a_time_an_event_happened_when_it_was_received() {
    let running = start().await;
    let event = stored(&running, Value::Null, Value::Null).await;
    assert!((now() - event.received_at_ms).abs() < 10_000);
    assert_eq!((event.ts_ms, event.own_ts_ms), (event.received_at_ms, event.received_at_ms));
}

#[tokio::test]
async fn a_small_or_unknown_skew_is_not_corrected() {
    let running = start().await;
    let at = now() - 2 * HOUR;
    for sent_at in [Value::Null, json!(iso(now() - 30_000)), json!("nonsense")] {
        let event = stored(&running, json!(iso(at)), sent_at).await;
        assert_eq!((event.ts_ms, event.own_ts_ms), (at, at));
    }
}

#[tokio::test]
async fn a_clock_that_is_far_off_is_corrected_by_the_time_of_sending() {
    let running = start().await;
    for skew in [-48 * HOUR, 48 * HOUR, 365 * 24 * HOUR] {
        let own = now() + skew - 5_000;
        let event = stored(&running, json!(own), json!(iso(now() + skew))).await;
        assert_eq!(event.own_ts_ms, own);
        let age = event.received_at_ms - event.ts_ms;
        assert!((4_000..6_000).contains(&age), "skew {skew}: {age}");
    }
}

/// Times of the events of a batch by our clock, beside the time of receipt; given are their times by the client's.
async fn batch(running: &Running, sent_at: i64, own: &[i64]) -> Vec<i64> {
    let before = running.events().len();
    let event = |own: &i64| json!({"event": own.to_string(), "anonymousId": "v", "timestamp": iso(*own)});
    let events: Vec<Value> = own.iter().map(event).collect();
    running.ok("/v1/batch", json!({"sentAt": iso(sent_at), "batch": events}).to_string()).await;
    let stored = running.events().split_off(before);
    own.iter()
        .map(|own| stored.iter().find(|event| event.event == own.to_string()).unwrap())
        .map(|event| event.ts_ms - event.received_at_ms)
        .collect()
}

#[tokio::test]
async fn events_of_one_batch_are_corrected_together_so_that_they_keep_their_order() {
    let running = start().await;
    let slow = now() - HOUR;
    let second = slow / 1_000 * 1_000;
    // The client cuts the time of sending to its second, in which the last of its events happened.
    let ages = batch(&running, second, &[second - 2_000, second - 100, second + 400]).await;
    assert!(ages.is_sorted(), "{ages:?}");
    assert!((-4_000..=-1_500).contains(&ages[0]), "{ages:?}");
    assert!((-2_500..=0).contains(&ages[1]) && (-2_000..=0).contains(&ages[2]), "{ages:?}");
    // A request that is repeated with what came since: its time of sending is that of the first attempt.
    let ages = batch(&running, slow, &[slow - 5_000, slow + 1_000, slow + 60_000]).await;
    for (age, expected) in ages.into_iter().zip([-5_000, 1_000, 60_000]) {
        let difference = age + HOUR - expected;
        assert!(difference.abs() < 10_000, "{age}: none of them is corrected");
    }
}

#[tokio::test]
async fn an_event_never_happens_after_it_was_received() {
    let running = start().await;
    let own = now() + 23 * HOUR;
    let event = stored(&running, json!(own.to_string()), Value::Null).await;
    assert_eq!((event.ts_ms, event.own_ts_ms), (event.received_at_ms, own));
}

#[tokio::test]
async fn seconds_milliseconds_and_original_timestamps_are_read() {
    let running = start().await;
    for (written, ms) in [
        (json!(1_700_000_000), 1_700_000_000_000),
        (json!(1_700_000_000_123_i64), 1_700_000_000_123),
        (json!("1700000000.5"), 1_700_000_000_500),
        (json!("2023-11-14"), 1_699_920_000_000),
    ] {
        assert_eq!(stored(&running, written, Value::Null).await.ts_ms, ms);
    }
    let event = json!({"event": "e", "userId": "u", "originalTimestamp": "2023-11-14T22:13:20.001Z"});
    assert_eq!(running.stored(event).await.ts_ms, 1_700_000_000_001);
}

#[tokio::test]
async fn an_event_without_an_id_gets_one_that_retries_share_if_it_has_a_time() {
    let running = start().await;
    let timed = json!({"event": "e", "userId": "u", "timestamp": 1_700_000_000, "properties": {"a": 1}});
    let (first, again) = (running.stored(timed.clone()).await, running.stored(timed).await);
    assert_eq!((first.message_id.len(), &first.message_id), (32, &again.message_id));
    let untimed = json!({"event": "e", "userId": "u"});
    let (first, other) = (running.stored(untimed.clone()).await, running.stored(untimed).await);
    assert_eq!(first.message_id.len(), 36);
    assert_ne!(first.message_id, other.message_id);
    assert_eq!(running.stored(json!({"event": "e", "userId": "u", "messageId": 12})).await.message_id, "12");
}
