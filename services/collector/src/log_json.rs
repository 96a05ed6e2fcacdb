//! JSON that other producers write straight into the topic of events: the body of `/v1/track` with its `site`. It becomes
//! the record that a collector would have written, by the same rules and with the same reasons where it breaks one. The
//! aggregator calls it for each such record, and again after a restart: the result depends on its bytes, the time of
//! appending and two settings of `[collector]` alone.

use funnel::plan::limits::MAX_ID_BYTES;
use runtime::settings::CollectorSettings;
use serde::Deserialize;

use crate::adapters::{Endpoint, Form, Limits};
use crate::draft::{Draft, When};
use crate::rejection::{Reason, Rejection};
use crate::timestamp;
use crate::validate::{Request, Validator};

#[derive(Deserialize)]
struct OfSite {
    site: Option<String>,
}

/// The record (`rungs.v1.Record`) of a JSON event, received when the log appended it (UTC milliseconds). Of the settings
/// `max_event` and `skew_threshold` count.
///
/// # Errors
/// The rule that it breaks.
pub fn event_of_json(
    json: &[u8],
    appended_at_ms: i64,
    settings: &CollectorSettings,
) -> Result<Vec<u8>, Rejection> {
    let site = site(json)?;
    let limits = Limits { max_event_bytes: settings.max_event_bytes, max_batch_events: 1 };
    let not_one = || Reason::InvalidJson.because("a record is one event: a JSON object and nothing after it");
    let mut parsed = Endpoint::Events.parse(json, Form::Text, limits).map_err(|_| not_one())?;
    let draft = parsed.events.pop().filter(|_| parsed.events.is_empty()).ok_or_else(not_one)??;
    check_identity(&draft)?;
    let mut validator = Validator::new(Request {
        site: &site,
        received_at_ms: appended_at_ms,
        sent_at: parsed.sent_at,
        skew_threshold_ms: settings.skew_threshold_ms,
        agent: None,
        country: "",
        stand_in: None,
        import_id: "",
        masked_but: None,
        visitors: None,
        schema: None,
    });
    let mut record = Vec::new();
    // The record lies in a partition already.
    validator.record(&draft, 1, &mut record)?;
    Ok(record)
}

fn site(json: &[u8]) -> Result<String, Rejection> {
    let named: OfSite = serde_json::from_slice(json)
        .map_err(|error| Reason::InvalidJson.because(format!("it is not a JSON event: {error}")))?;
    let site = named.site.filter(|site| (1..=MAX_ID_BYTES).contains(&site.len()));
    site.ok_or_else(|| Reason::InvalidField.because("`site` must be the id of a site of the plan"))
}

/// An id that is made at random would be another one at the next reading.
fn check_identity(draft: &Draft<'_>) -> Result<(), Rejection> {
    let has_time = draft.timestamp != When::Absent && matches!(timestamp::read(draft.timestamp), Ok(Some(_)));
    match draft.message_id.text_or_number() {
        None if !has_time => Err(Reason::InvalidMessageId
            .because("a record of the log needs `messageId`, or a `timestamp` of which one can be made")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use rungs_proto::v1::{Event, Record, record::Body};

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn event(json: &str) -> Result<Event, Rejection> {
        with(&CollectorSettings::default(), json)
    }

    fn with(settings: &CollectorSettings, json: &str) -> Result<Event, Rejection> {
        let record = event_of_json(json.as_bytes(), NOW_MS, settings)?;
        assert_eq!(
            event_of_json(json.as_bytes(), NOW_MS, settings)?,
            record,
            "another reading makes the same record"
        );
        match Record::decode(record.as_slice()).unwrap().body {
            Some(Body::Event(event)) => Ok(event),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_json_event_becomes_what_a_collector_would_write() {
        let json = r#"{"site":"shop","event":"view","anonymousId":"ann","messageId":"m1",
            "timestamp":"2023-11-14T22:13:00Z","properties":{"plan":"pro","revenue":1.5,"currency":"EUR"},
            "context":{"campaign":{"source":"news","medium":"email"}}}"#;
        let event = event(json).unwrap();
        assert_eq!(
            (event.site.as_str(), event.visitor_id.as_str(), event.message_id.as_str()),
            ("shop", "ann", "m1")
        );
        assert_eq!((event.ts_ms, event.received_at_ms), (1_699_999_980_000, NOW_MS));
        assert_eq!(
            (event.channel.as_str(), event.revenue_e4, event.currency.as_str()),
            ("email", 15_000, "EUR")
        );
    }

    #[test]
    fn a_message_id_is_made_of_the_content_where_there_is_a_time() {
        let made = event(r#"{"site":"shop","event":"view","userId":"u","timestamp":1699999999}"#).unwrap();
        assert!(!made.message_id.is_empty());
        let without = event(r#"{"site":"shop","event":"view","userId":"u"}"#).unwrap_err();
        assert_eq!(without.reason, Reason::InvalidMessageId);
        let now = event(r#"{"site":"shop","event":"view","userId":"u","messageId":"m"}"#).unwrap();
        assert_eq!(now.ts_ms, NOW_MS, "without a time it counts when it was appended");
    }

    #[test]
    fn the_settings_bound_an_event_and_say_which_clock_is_wrong() {
        let json = r#"{"site":"shop","event":"view","anonymousId":"a","messageId":"m",
            "timestamp":1699999940000,"sentAt":1699999970000}"#;
        assert_eq!(event(json).unwrap().ts_ms, 1_699_999_940_000);
        let strict = CollectorSettings { skew_threshold_ms: 10_000, ..CollectorSettings::default() };
        assert_eq!(with(&strict, json).unwrap().ts_ms, 1_699_999_970_000);
        let narrow = CollectorSettings { max_event_bytes: 100, ..CollectorSettings::default() };
        assert_eq!(with(&narrow, json).unwrap_err().reason, Reason::EventTooLarge);
    }

    #[test]
    fn what_breaks_a_rule_is_refused_by_its_name() {
        let cases = [
            (r#"{"event":"view","anonymousId":"a","messageId":"m"}"#, Reason::InvalidField),
            (r#"{"site":"","event":"view","anonymousId":"a","messageId":"m"}"#, Reason::InvalidField),
            (r#"{"site":"shop","anonymousId":"a","messageId":"m"}"#, Reason::MissingEvent),
            (r#"{"site":"shop","event":"view","messageId":"m"}"#, Reason::MissingVisitor),
            (
                r#"{"site":"shop","event":"view","anonymousId":"a","messageId":"m","timestamp":1}"#,
                Reason::TimestampOutOfRange,
            ),
            ("{\"site\":\"shop\"", Reason::InvalidJson),
            ("{\"site\":\"shop\"}\n{\"site\":\"shop\"}", Reason::InvalidJson),
        ];
        for (json, reason) in cases {
            assert_eq!(event(json).unwrap_err().reason, reason, "{json}");
        }
    }
}
