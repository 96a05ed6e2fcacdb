//! The id of an event that was sent without one.
//!
//! With a time of its own, the id is a hash of the event: a client that sends the same bytes again makes a duplicate,
//! which is counted once. Without one, two real, equal events are as likely as a retry, so each gets a random id:
//! counting a retry twice is then possible, losing a real event is not.

use rungs_proto::v1::Kind;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

/// What makes an event this event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) site: &'a str,
    pub(crate) visitor_id: &'a str,
    pub(crate) kind: Kind,
    pub(crate) event: &'a str,
    /// The client's own time, UTC milliseconds.
    pub(crate) own_ts_ms: i64,
    /// As sent.
    pub(crate) properties: &'a str,
}

/// 32 hex digits, the same for the same event. `buffer` is only there to be used again.
pub(crate) fn derived(identity: Identity<'_>, buffer: &mut Vec<u8>) -> String {
    buffer.clear();
    for text in [identity.site, identity.visitor_id, identity.event, identity.properties] {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        buffer.extend_from_slice(&(text.len() as u64).to_le_bytes());
        buffer.extend_from_slice(text.as_bytes());
    }
    buffer.extend_from_slice(&identity.own_ts_ms.to_le_bytes());
    buffer.push(identity.kind as u8);
    format!("{:032x}", xxh3_128(buffer))
}

/// A UUID of version 7: random, ordered by time.
pub(crate) fn random() -> String {
    Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Identity<'_> = Identity {
        site: "shop",
        visitor_id: "v1",
        kind: Kind::Track,
        event: "view",
        own_ts_ms: 1_700_000_000_000,
        properties: "{\"a\":1}",
    };

    #[test]
    fn an_id_depends_on_every_part_of_the_event_and_on_nothing_else() {
        let id = |identity| derived(identity, &mut vec![1, 2, 3]);
        assert_eq!(id(EVENT), derived(EVENT, &mut Vec::new()));
        let others = [
            Identity { site: "shopv", visitor_id: "1", ..EVENT },
            Identity { kind: Kind::Page, ..EVENT },
            Identity { event: "click", ..EVENT },
            Identity { own_ts_ms: 1_700_000_000_001, ..EVENT },
            Identity { properties: "{\"a\": 1}", ..EVENT },
        ];
        for other in others {
            assert_ne!(id(EVENT), id(other), "{other:?}");
        }
        assert_ne!(random(), random());
    }
}
