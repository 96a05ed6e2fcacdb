//! Requests as the targets send them, and what they come to. Time, site and settings are always the same, so that nothing
//! but the bytes decides.

use std::sync::LazyLock;

use collector::decoding::{Circumstances, Decoded, WireRequest};
use collector::refusal::Refusal;
use prost::Message;
use rungs_proto::v1::{Event, Record, record::Body};
use runtime::settings::CollectorSettings;
use url::Url;

pub(crate) const SITE: &str = "shop";
/// 2027-01-15.
pub(crate) const RECEIVED_AT_MS: i64 = 1_800_000_000_000;

static SETTINGS: LazyLock<CollectorSettings> = LazyLock::new(|| CollectorSettings {
    // Small, so that inputs of a fuzzer reach them.
    max_event_bytes: 4 << 10,
    max_batch_events: 64,
    max_expanded_bytes: 256 << 10,
    ..CollectorSettings::default()
});

/// What was accepted is longer once masks and escapes are written out.
static ROOMY: LazyLock<CollectorSettings> =
    LazyLock::new(|| CollectorSettings { max_event_bytes: 64 << 10, ..SETTINGS.clone() });

static DESTINATION: LazyLock<Url> = LazyLock::new(|| Url::parse("https://shop.example/may?a=b#top").unwrap());

pub(crate) fn settings() -> &'static CollectorSettings {
    &SETTINGS
}

pub(crate) fn roomy_settings() -> &'static CollectorSettings {
    &ROOMY
}

pub(crate) fn circumstances() -> Circumstances<'static> {
    Circumstances {
        site: SITE,
        received_at_ms: RECEIVED_AT_MS,
        destination: &DESTINATION,
        settings: &SETTINGS,
    }
}

/// A request whose path is known to take events.
pub(crate) fn decode(request: &WireRequest<'_>) -> Result<Decoded, Refusal> {
    let decoded = request.decode(&circumstances());
    assert_ne!(decoded, Err(Refusal::NotFound), "{}", request.path);
    decoded
}

/// A JSON body at a path.
pub(crate) fn posted<'a>(path: &'a str, body: &'a [u8]) -> WireRequest<'a> {
    WireRequest { path, body, content_type: "application/json", ..WireRequest::default() }
}

/// A record's event as it is once it is sent again as JSON of our own.
pub(crate) fn sent_again(json: &str) -> Result<Decoded, Refusal> {
    posted("/v1/events", json.as_bytes()).decode(&Circumstances { settings: &ROOMY, ..circumstances() })
}

/// The event of a record that a decoder wrote.
pub(crate) fn event_of(record: &[u8]) -> Event {
    match Record::decode(record).expect("a record").body {
        Some(Body::Event(event)) => event,
        other => panic!("no event: {other:?}"),
    }
}

/// What a request comes to without what is drawn anew each time: the id (a UUID of version 7) of an event that has neither
/// id nor time.
pub(crate) fn without_chance(
    decoded: &Result<Decoded, Refusal>,
) -> Result<Vec<Result<Event, String>>, String> {
    let event = |record: &Vec<u8>| {
        let mut event = event_of(record);
        if event.message_id.len() == 36 && event.message_id.as_bytes()[14] == b'7' {
            event.message_id.clear();
        }
        event
    };
    let decoded = decoded.as_ref().map_err(ToString::to_string)?;
    let events = decoded.events.iter();
    Ok(events.map(|result| result.as_ref().map(event).map_err(|no| no.message.to_string())).collect())
}
