//! The list of all settings: section, key, meaning and where the value goes. Reading the file, reading the environment
//! and the reference in the docs all walk this one list, so that none of them can lag behind.
//!
//! In the file values carry their unit (`horizon = "24h"`, `max_body = "4MiB"`); in code the field's name does.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::{LogFormat, Settings};

/// One setting.
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) meaning: &'static str,
}

/// The type of a setting and the field it goes to.
pub(super) enum Place {
    Address(fn(&mut Settings) -> &mut SocketAddr),
    Number(Number),
    Text(fn(&mut Settings) -> &mut String),
    Optional(fn(&mut Settings) -> &mut Option<String>),
    Url(fn(&mut Settings) -> &mut Option<String>),
    Secret {
        field: fn(&mut Settings) -> &mut Option<String>,
        file_key: &'static str,
    },
    Format(fn(&mut Settings) -> &mut LogFormat),
    Level(fn(&mut Settings) -> &mut String),
    /// Refused unless empty: what it asks for cannot be done yet.
    NotYet,
    /// Read with a [`Place::NotYet`], and without effect before.
    NotYetEither,
}

/// A number with its unit and bounds.
pub(super) struct Number {
    pub(super) unit: Unit,
    /// In the field's unit.
    pub(super) bounds: RangeInclusive<u64>,
    pub(super) get: fn(&Settings) -> u64,
    pub(super) set: fn(&mut Settings, u64),
}

/// What a number counts: as the file writes it and as the field holds it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A whole number.
    One,
    /// `"4MiB"` or bytes; bytes.
    Bytes,
    /// `"24h"`; milliseconds.
    Milliseconds,
    /// `"7d"`; days.
    Days,
}

/// A [`Place::Number`] at a field of any integer type.
macro_rules! number {
    ($unit:ident, $bounds:expr, $section:ident.$field:ident) => {
        #[allow(clippy::unnecessary_fallible_conversions, clippy::useless_conversion)]
        Place::Number(Number {
            unit: Unit::$unit,
            bounds: $bounds,
            get: |settings| u64::try_from(settings.$section.$field).unwrap_or(0),
            set: |settings, value| {
                settings.$section.$field = value.try_into().unwrap_or(settings.$section.$field);
            },
        })
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const SECOND: u64 = 1_000;
const DAY: u64 = 86_400_000;

/// Every setting, in the order in which docs list them.
pub(super) fn all() -> Vec<Key> {
    [collector(), aggregator(), console(), admin(), log(), clickhouse(), logging(), kafka()]
        .into_iter()
        .flatten()
        .map(|(section, name, place, meaning)| Key { section, name, place, meaning })
        .collect()
}

type Row = (&'static str, &'static str, Place, &'static str);

#[rustfmt::skip]
fn collector() -> Vec<Row> {
    const S: &str = "collector";
    vec![
        (S, "listen", Place::Address(|s| &mut s.collector.listen), "Where events come in."),
        (S, "workers", number!(One, 0..=1_024, collector.workers), "Threads that serve HTTP; 0 is one a core."),
        (S, "max_body", number!(Bytes, KIB..=GIB, collector.max_body_bytes), "A request's body as sent, at most."),
        (S, "max_expanded", number!(Bytes, KIB..=GIB, collector.max_expanded_bytes), "A request's body decompressed, at most."),
        (S, "max_batch_events", number!(One, 1..=1_000_000, collector.max_batch_events), "Events of one request, at most."),
        (S, "max_event", number!(Bytes, 256..=16 * MIB, collector.max_event_bytes), "One event as JSON, at most."),
        (S, "max_in_flight", number!(Bytes, MIB..=TIB, collector.max_in_flight_bytes), "Requests that are being handled at the same time, at most; beyond: 503."),
        (S, "max_connections", number!(One, 1..=1_000_000, collector.max_connections), "Connections at the same time, at most."),
        (S, "skew_threshold", number!(Milliseconds, 0..=DAY, collector.skew_threshold_ms), "Client clocks that differ from ours by less are not corrected."),
        (S, "head_timeout", number!(Milliseconds, 100..=600 * SECOND, collector.head_timeout_ms), "A request's head must have come within this time."),
        (S, "country_header", Place::Optional(|s| &mut s.collector.country_header), "A header that the reverse proxy sets with the visitor's two-letter country. Set it only behind such a proxy."),
    ]
}

#[rustfmt::skip]
fn aggregator() -> Vec<Row> {
    const S: &str = "aggregator";
    vec![
        (S, "horizon", number!(Milliseconds, 60 * SECOND..=31 * DAY, aggregator.horizon_ms), "Events older than this are late: stored, and counted at the next build from raw."),
        (S, "events_interval", number!(Milliseconds, 10..=60 * SECOND, aggregator.events_interval_ms), "Raw events are written this often."),
        (S, "events_batch_rows", number!(One, 1..=10_000_000, aggregator.events_batch_rows), "Rows of one insert of raw events, at most."),
        (S, "journeys_interval", number!(Milliseconds, 100..=600 * SECOND, aggregator.journeys_interval_ms), "Visitors' journeys are written this often."),
        (S, "journeys_batch_rows", number!(One, 1..=10_000_000, aggregator.journeys_batch_rows), "Journeys of one insert, at most; more are written one insert every `events_interval`."),
        (S, "max_tail_events", number!(One, 1..=100_000, aggregator.max_tail_events), "Recent events remembered of one visitor, at most; further ones are counted at the next build from raw."),
        (S, "minute_history", number!(Days, 1..=3_660, aggregator.minute_history_days), "How long minute ends are answered."),
        (S, "hour_history", number!(Days, 1..=36_600, aggregator.hour_history_days), "How long hour ends are answered."),
        (S, "raw_retention", number!(Days, 1..=36_600, aggregator.raw_retention_days), "How long raw events are kept, from when they were written."),
    ]
}

#[rustfmt::skip]
fn console() -> Vec<Row> {
    const S: &str = "console";
    vec![
        (S, "listen", Place::Address(|s| &mut s.console.listen), "Where the page and the API are served."),
        (S, "workers", number!(One, 0..=1_024, console.workers), "Threads that serve HTTP; 0 is one a core."),
        (S, "token", Place::Secret { field: |s| &mut s.console.token, file_key: "token_file" }, "What whoever is not on this machine must send; without one only this machine is answered."),
    ]
}

#[rustfmt::skip]
fn admin() -> Vec<Row> {
    vec![("admin", "listen", Place::Address(|s| &mut s.admin.listen), "Where `/metrics`, `/healthz` and `/readyz` are served.")]
}

#[rustfmt::skip]
fn log() -> Vec<Row> {
    const S: &str = "log";
    vec![
        (S, "partitions", number!(One, 1..=1_024, log.partitions), "Partitions of a new local log."),
        (S, "max_size", number!(Bytes, 16 * MIB..=64 * TIB, log.max_bytes), "Records that wait to be aggregated, at most; beyond: 503."),
        (S, "max_queued", number!(Bytes, MIB..=16 * GIB, log.max_queued_bytes), "The queue before the disk, at most; beyond: 503."),
        (S, "retention", number!(Milliseconds, 0..=366 * DAY, log.retention_ms), "Aggregated records are kept at least this long."),
        (S, "retention_size", number!(Bytes, 0..=64 * TIB, log.retention_bytes), "… unless they take more than this."),
    ]
}

#[rustfmt::skip]
fn clickhouse() -> Vec<Row> {
    const S: &str = "clickhouse";
    vec![
        (S, "url", Place::Url(|s| &mut s.clickhouse.url), "ClickHouse's HTTP interface; `rungs up` without it starts the embedded one."),
        (S, "user", Place::Text(|s| &mut s.clickhouse.user), "Its user."),
        (S, "password", Place::Secret { field: |s| &mut s.clickhouse.password, file_key: "password_file" }, "The user's password."),
        (S, "database", Place::Text(|s| &mut s.clickhouse.database), "The database that Rungs makes its tables in."),
    ]
}

#[rustfmt::skip]
fn logging() -> Vec<Row> {
    const S: &str = "logging";
    vec![
        (S, "format", Place::Format(|s| &mut s.logging.format), "How log lines look."),
        (S, "level", Place::Level(|s| &mut s.logging.level), "`error`, `warn`, `info`, `debug`, or by part: `info,aggregator=debug`. `RUNGS_LOG` overrides it."),
    ]
}

#[rustfmt::skip]
fn kafka() -> Vec<Row> {
    const S: &str = "kafka";
    vec![
        (S, "brokers", Place::NotYet, "Kafka's brokers, instead of the local log. Not available in this build yet."),
        (S, "topic_prefix", Place::NotYetEither, "Begins the names of the topics. Not available in this build yet."),
        (S, "options", Place::NotYetEither, "A table of librdkafka's own options. Not available in this build yet."),
    ]
}
