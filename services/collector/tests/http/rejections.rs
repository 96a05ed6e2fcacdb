//! One bad event of each kind among good ones: the good ones are kept, the bad one is named.

use collector::rejection::Reason;
use serde_json::{Value, json};

use crate::support::{event, start, start_with};

/// Reason, the event as text, a part of the message.
fn bad_events() -> Vec<(Reason, String, &'static str)> {
    let with = |field: &str| format!(r#"{{"event":"bad","anonymousId":"v",{field}}}"#);
    let nested =
        |levels: usize| format!(r#""properties":{{"a":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
    vec![
        (Reason::NotAnObject, "17".into(), "not a number"),
        (Reason::NotAnObject, "\"\\u0000\"".into(), "not a string"),
        (Reason::NotAnObject, "null".into(), "not null"),
        (
            Reason::EventTooLarge,
            with(&format!(r#""properties":{{"a":"{}"}}"#, "x".repeat(40_000))),
            "at most 32768",
        ),
        (Reason::TooDeep, with(&nested(32)), "32 levels"),
        (Reason::TooDeep, with(&nested(100)), "32 levels"),
        (Reason::InvalidText, with(r#""properties":{"a":"b\u0000"}"#), "NUL"),
        (Reason::InvalidText, with(r#""context":{"a":"\ud800"}"#), "surrogate"),
        (Reason::InvalidText, with(r#""anonymousId":"\udc00""#), "surrogate"),
        (Reason::InvalidNumber, with(r#""properties":{"a":[1e999]}"#), "64-bit"),
        (Reason::InvalidField, with(r#""properties":[1]"#), "`properties` must be an object, not an array"),
        (Reason::InvalidField, with(r#""context":"x""#), "`context`"),
        (Reason::InvalidField, with(r#""event":5"#), "`event` must be a text"),
        (Reason::InvalidField, with(r#""userId":true"#), "`userId`"),
        (Reason::InvalidField, with(r#""messageId":{}"#), "`messageId`"),
        (Reason::UnknownType, with(r#""type":"click""#), "`type` must be"),
        (Reason::MissingEvent, r#"{"anonymousId":"v"}"#.into(), "`event`"),
        (Reason::MissingEvent, with(r#""event":"""#), "`event`"),
        (Reason::InvalidEvent, with(&format!(r#""event":"{}""#, "e".repeat(257))), "257 bytes; at most 256"),
        (Reason::InvalidEvent, with(r#""event":"a\nb""#), "control"),
        (Reason::MissingVisitor, r#"{"event":"bad","userId":null}"#.into(), "anonymousId"),
        (
            Reason::InvalidVisitor,
            with(&format!(r#""anonymousId":"{}""#, "v".repeat(257))),
            "`anonymousId` has 257",
        ),
        (Reason::InvalidVisitor, with(&format!(r#""userId":"{}""#, "v".repeat(257))), "`userId` has 257"),
        (
            Reason::InvalidMessageId,
            with(&format!(r#""messageId":"{}""#, "m".repeat(257))),
            "`messageId` has 257",
        ),
        (Reason::InvalidTimestamp, with(r#""timestamp":"yesterday""#), "ISO 8601"),
        (Reason::InvalidTimestamp, with(r#""timestamp":{}"#), "ISO 8601"),
        (Reason::TimestampOutOfRange, with(r#""timestamp":"0001-01-01T00:00:00Z""#), "year 2000"),
        (Reason::TimestampOutOfRange, with(r#""timestamp":"9999-12-31T23:59:59Z""#), "future"),
        (Reason::TimestampOutOfRange, with(r#""timestamp":-1e300"#), "year 2000"),
    ]
}

fn check(answer: &Value, index: usize, reason: Reason, message: &str) {
    assert_eq!(answer["accepted"], 2, "{reason:?}: {answer}");
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 1, "{reason:?}: {answer}");
    assert_eq!(
        (&rejected[0]["index"], &rejected[0]["code"]),
        (&json!(index), &json!(reason.code())),
        "{answer}"
    );
    assert!(rejected[0]["message"].as_str().unwrap().contains(message), "{answer}");
}

#[tokio::test]
async fn a_bad_event_costs_no_good_one() {
    let running = start().await;
    let mut rounds = 0;
    for (reason, bad, message) in bad_events() {
        let (a, b) = (event("a"), event("b"));
        let batch = running.ok("/v1/batch", format!(r#"{{"batch":[{a},{bad},{b}]}}"#)).await;
        check(&batch, 1, reason, message);
        let array = running.ok("/v1/events", format!("[{bad},{a},{b}]")).await;
        check(&array, 0, reason, message);
        let lines = running.ok("/v1/events", format!("{a}\n{b}\n\n{bad}\n")).await;
        check(&lines, 2, reason, message);
        rounds += 3;
    }
    assert!(running.names().iter().all(|name| name == "a" || name == "b"));
    running.assert_outcomes(2 * rounds, rounds, 0);
}

#[tokio::test]
async fn every_reason_has_a_bad_event_here_and_is_exported_before_it_happens() {
    let running = start().await;
    // In `schemas` and `quotas`, for they take a plan.
    let by_plan = [
        Reason::UnplannedEvent,
        Reason::RequiredMissing,
        Reason::DatatypeMismatch,
        Reason::UnplannedProperty,
        Reason::VisitorQuota,
    ];
    let tested: Vec<_> = bad_events()
        .into_iter()
        .map(|(reason, ..)| reason)
        .chain([Reason::InvalidJson])
        .chain(by_plan)
        .collect();
    for reason in Reason::ALL {
        // Those that leave out are in `left_out`.
        assert!(tested.contains(reason) || reason.leaves_out(), "{reason:?}");
        let series = format!("rungs_collector_rejected_events_total{{reason=\"{}\"}}", reason.code());
        assert_eq!(running.metric(&series), 0.0);
    }
}

#[tokio::test]
async fn a_broken_line_is_rejected_and_the_other_lines_are_kept() {
    let running = start().await;
    let mut body = format!("{}\n{{\"event\":\"cut\n{}\n", event("a"), event("b")).into_bytes();
    check(&running.ok("/v1/events", body.clone()).await, 1, Reason::InvalidJson, "line 2 is not JSON");
    body.extend_from_slice(b"{\"event\":\"\xff\",\"userId\":\"u\"}");
    let answer = running.ok("/v1/events", body).await;
    assert_eq!(answer["rejected"][1]["message"], "line 4 is not JSON: expected UTF-8 at byte 10 of the line");
    let trailing = format!("{} x\n{}\n{}", event("c"), event("d"), event("e"));
    check(&running.ok("/v1/events", trailing).await, 0, Reason::InvalidJson, "end of the text");
}

#[tokio::test]
async fn an_answer_lists_a_bounded_number_of_rejections_and_counts_all() {
    let running = start_with(|settings| settings.max_batch_events = 5_000, None).await;
    let answer = running.ok("/v1/events", "{\"event\":\"x\"}\n".repeat(5_000)).await;
    assert_eq!(answer["rejected"].as_array().unwrap().len(), 1_000);
    running.assert_outcomes(0, 5_000, 0);
}
