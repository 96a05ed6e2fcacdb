//! What the collector accepts at most, by name. Limits that an operator may change are settings of `[collector]`; the
//! ones here are part of the public contract. `docs/http-api.md` lists both, and a test holds the two lists together.

/// Bytes of an event's name.
pub const MAX_EVENT_NAME_BYTES: usize = 256;
/// Bytes of `anonymousId` and of `userId`.
pub const MAX_VISITOR_ID_BYTES: usize = 256;
/// Bytes of `messageId`.
pub const MAX_MESSAGE_ID_BYTES: usize = 256;
/// Bytes of an import's id.
pub const MAX_IMPORT_ID_BYTES: usize = 64;
/// Visitors that one request erases.
pub const MAX_FORGOTTEN_AT_ONCE: usize = 1_000;
/// Levels of objects and arrays in `properties`, `context` or any other field of an event.
pub const MAX_NESTING: usize = 32;
/// The earliest event time: 2000-01-01T00:00:00Z, in milliseconds.
pub const MIN_TIMESTAMP_MS: i64 = 946_684_800_000;
/// How far an event's time may lie behind the time of receipt; it is then counted as received now.
pub const MAX_FUTURE_MS: i64 = 24 * 3_600_000;
/// Numbers as event time below this are seconds since 1970, from it on milliseconds.
pub const SECONDS_BELOW: f64 = 1e11;
/// Rejected events that an answer lists; all are counted.
pub const MAX_REJECTED_LISTED: usize = 1_000;
pub use event_log::rejected::MAX_REJECTED_KEPT_PER_SECOND;
/// A body must be complete within this time after its head; of a long one of NDJSON, each part after the one before.
pub const BODY_TIMEOUT_MS: u64 = 30_000;
/// NDJSON bodies of more bytes, compressed ones and those of unknown length are taken part by part where the content type
/// says that they are NDJSON.
pub const BULK_FROM_BYTES: usize = 256 << 10;
/// So many bytes of lines make a part of such a body.
pub const BULK_PART_BYTES: usize = 1 << 20;
/// A client that takes nothing of its answer for this long is given up.
pub const ANSWER_TIMEOUT_MS: u64 = 30_000;
/// An idle connection is kept open this long.
pub const KEEP_ALIVE_MS: u64 = 75_000;
/// At shutdown, requests that are being handled have this long to end.
pub const DRAIN_MS: u64 = 10_000;
/// A client that comes back at once, whatever it is answered, waits this long for a 503 or 429.
pub const BUSY_ANSWER_DELAY_MS: u64 = 1_000;
/// Browsers may remember the answer to a preflight this long, in seconds.
pub const PREFLIGHT_MAX_AGE_S: u32 = 600;
/// A link waits this long for its event to be durable, then sends the visitor on.
pub const CLICK_WAIT_MS: u64 = 2_000;
/// Addresses whose events are counted at the same time, over all sites whose plan limits them.
pub const MAX_LIMITED_ADDRESSES: usize = 65_536;
/// Events a second of one visitor that are taken where the plan does not say how many.
pub const VISITOR_EVENTS_PER_SECOND: u64 = 50;
/// Events of one visitor that are taken at once where the plan does not say how many.
pub const VISITOR_EVENTS_BURST: u64 = 10_000;
/// Cells of each of the two rows in which visitors' events are counted: enough for six million events a second of visitors
/// who keep to `VISITOR_EVENTS_PER_SECOND` together.
pub const VISITOR_CELLS: usize = 131_072;
/// Imports whose rows a collector remembers to have taken; of others it asks the warehouse.
pub const MAX_SEEN_IMPORTS: usize = 1_024;
/// `Retry-After` of a quota that is used up, at most, in seconds.
pub const MAX_RETRY_AFTER_S: u32 = 300;
/// User-Agents whose device, browser and system each worker remembers.
pub const MAX_REMEMBERED_USER_AGENTS: usize = 4_096;

/// The limits as the docs list them: name, value, meaning.
pub const TABLE: &[(&str, &str, &str)] = &[
    ("MAX_EVENT_NAME_BYTES", "256", "bytes of an event's name"),
    ("MAX_VISITOR_ID_BYTES", "256", "bytes of `anonymousId` and of `userId`"),
    ("MAX_MESSAGE_ID_BYTES", "256", "bytes of `messageId`"),
    ("MAX_IMPORT_ID_BYTES", "64", "bytes of an import's id"),
    ("MAX_FORGOTTEN_AT_ONCE", "1000", "visitors that one request erases"),
    ("MAX_NESTING", "32", "levels of objects and arrays within a field of an event"),
    ("MIN_TIMESTAMP_MS", "946684800000", "the earliest event time (2000-01-01)"),
    ("MAX_FUTURE_MS", "86400000", "how far an event's time may lie in the future"),
    ("MAX_REJECTED_LISTED", "1000", "rejected events listed in an answer; all are counted"),
    (
        "MAX_REJECTED_KEPT_PER_SECOND",
        "100",
        "rejected events that a collector keeps for `rungs trace` in a second; all are counted",
    ),
    ("BODY_TIMEOUT_MS", "30000", "until a body, or the next part of a long one, must be complete"),
    ("BULK_FROM_BYTES", "262144", "longer NDJSON is taken part by part, if its content type says what it is"),
    ("BULK_PART_BYTES", "1048576", "lines of such a body that are stored at a time"),
    ("ANSWER_TIMEOUT_MS", "30000", "a client that takes nothing of its answer for this long is given up"),
    ("KEEP_ALIVE_MS", "75000", "an idle connection is kept this long"),
    ("DRAIN_MS", "10000", "for requests in flight at shutdown"),
    (
        "BUSY_ANSWER_DELAY_MS",
        "1000",
        "a 503 or 429 to Snowplow's trackers, which come back at once, takes this long",
    ),
    ("PREFLIGHT_MAX_AGE_S", "600", "a browser may remember a preflight this long"),
    ("CLICK_WAIT_MS", "2000", "a visitor who follows a counted link waits for the log, at most"),
    (
        "MAX_LIMITED_ADDRESSES",
        "65536",
        "addresses with a limit of their own at the same time; further ones have the site's alone",
    ),
    ("VISITOR_EVENTS_PER_SECOND", "50", "events of one visitor, on average, where the plan names no limit"),
    ("VISITOR_EVENTS_BURST", "10000", "the same at once"),
    ("VISITOR_CELLS", "131072", "cells of each of the two rows in which visitors' events are counted"),
    ("MAX_SEEN_IMPORTS", "1024", "imports whose rows a collector remembers; of others it asks the warehouse"),
    ("MAX_RETRY_AFTER_S", "300", "seconds of `Retry-After` where a quota is used up, at most"),
    ("MAX_REMEMBERED_USER_AGENTS", "4096", "User-Agents that each worker remembers"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_the_values_of_the_constants() {
        let values = [
            MAX_EVENT_NAME_BYTES as i64,
            MAX_VISITOR_ID_BYTES as i64,
            MAX_MESSAGE_ID_BYTES as i64,
            MAX_IMPORT_ID_BYTES as i64,
            MAX_FORGOTTEN_AT_ONCE as i64,
            MAX_NESTING as i64,
            MIN_TIMESTAMP_MS,
            MAX_FUTURE_MS,
            MAX_REJECTED_LISTED as i64,
            MAX_REJECTED_KEPT_PER_SECOND as i64,
            BODY_TIMEOUT_MS as i64,
            BULK_FROM_BYTES as i64,
            BULK_PART_BYTES as i64,
            ANSWER_TIMEOUT_MS as i64,
            KEEP_ALIVE_MS as i64,
            DRAIN_MS as i64,
            BUSY_ANSWER_DELAY_MS as i64,
            i64::from(PREFLIGHT_MAX_AGE_S),
            CLICK_WAIT_MS as i64,
            MAX_LIMITED_ADDRESSES as i64,
            VISITOR_EVENTS_PER_SECOND as i64,
            VISITOR_EVENTS_BURST as i64,
            VISITOR_CELLS as i64,
            MAX_SEEN_IMPORTS as i64,
            i64::from(MAX_RETRY_AFTER_S),
            MAX_REMEMBERED_USER_AGENTS as i64,
        ];
        let shown: Vec<i64> = TABLE.iter().map(|(_, value, _)| value.parse().unwrap()).collect();
        assert_eq!(shown, values);
    }
}
