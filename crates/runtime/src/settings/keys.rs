//! The list of all settings: section, key, meaning and where the value goes. Reading the file, reading the environment
//! and the reference in the docs all walk this one list, so that none of them can lag behind.
//!
//! In the file values carry their unit (`horizon = "24h"`, `max_body = "4MiB"`); in code the field's name does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

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
    /// `true` or `false`.
    Switch(fn(&mut Settings) -> &mut bool),
    Format(fn(&mut Settings) -> &mut LogFormat),
    Level(fn(&mut Settings) -> &mut String),
    /// A file; in the settings file relative to its folder.
    File(fn(&mut Settings) -> &mut Option<PathBuf>),
    /// Keys and values of somebody else's, passed through: a table in the file, `key=value,key=value` in the environment.
    Options(fn(&mut Settings) -> &mut BTreeMap<String, String>),
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
const HOUR: u64 = 3_600_000;
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
        (S, "site_share", number!(One, 1..=100, collector.site_share_percent), "Percent of `max_in_flight` that one site may have, where the plan has several sites; beyond: 503."),
        (S, "max_connections", number!(One, 1..=1_000_000, collector.max_connections), "Connections at the same time, at most, as far as the system gives descriptors; further ones wait."),
        (S, "address_share", number!(One, 1..=100, collector.address_share_percent), "Percent of `max_connections` that one address may hold (of IPv6, a network of 64 bits); further ones are closed at once. Not where `address_header` is set: connections are the proxy's then. Behind a proxy that tells no addresses, 100."),
        (S, "skew_threshold", number!(Milliseconds, 0..=DAY, collector.skew_threshold_ms), "Client clocks that differ from ours by less are not corrected."),
        (S, "head_timeout", number!(Milliseconds, 100..=600 * SECOND, collector.head_timeout_ms), "A request's head must have come within this time."),
        (S, "country_header", Place::Optional(|s| &mut s.collector.country_header), "A header that the reverse proxy sets with the visitor's two-letter country. Set it only behind such a proxy."),
        (S, "address_header", Place::Optional(|s| &mut s.collector.address_header), "A header that the reverse proxy sets with the visitor's address, e.g. `x-real-ip`; of a list (`x-forwarded-for`) the last entry counts. Set it only behind such a proxy, and there always where a plan limits addresses: without it all visitors have the proxy's."),
        (S, "tag_path", Place::Optional(|s| &mut s.collector.tag_path), "A path where the tag is served and takes events beside `/rungs.js`, e.g. `/assets/site.js`; its second file is at `/assets/site-extra.js` then."),
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
        (S, "journeys_batch_rows", number!(One, 1..=10_000_000, aggregator.journeys_batch_rows), "Journeys of one insert, at most; more are written one insert after the other, with rests between them, at most one every `events_interval`."),
        (S, "max_tail_events", number!(One, 1..=100_000, aggregator.max_tail_events), "Recent events remembered of one visitor, at most; further ones are counted at the next build from raw."),
        (S, "max_journeys", number!(One, 1_000..=10_000_000_000, aggregator.max_journeys), "Journeys (a visitor in a funnel) in memory, at most, over all partitions of the process: about 340 bytes each. Beyond, it forgets those that no window counts, and else reads no further."),
        (S, "minute_history", number!(Days, 1..=3_660, aggregator.minute_history_days), "How long minute ends are answered."),
        (S, "hour_history", number!(Days, 1..=36_600, aggregator.hour_history_days), "How long hour ends are answered."),
        (S, "erasure_interval", number!(Milliseconds, SECOND..=DAY, aggregator.erasure_interval_ms), "Rows of visitors who were erased are looked for this often and deleted: ClickHouse rewrites the parts that have some. Reads leave them out at once."),
        (S, "link_interval", number!(Milliseconds, 60 * SECOND..=31 * DAY, aggregator.link_interval_ms), "Sites with `identity = \"links\"` have their ids joined anew this often, up to a tenth later, and their funnels counted by it."),
        (S, "raw_retention", number!(Days, 1..=36_600, aggregator.raw_retention_days), "How long raw events are kept, from when they were written."),
    ]
}

#[rustfmt::skip]
fn console() -> Vec<Row> {
    const S: &str = "console";
    vec![
        (S, "listen", Place::Address(|s| &mut s.console.listen), "Where the page and the API are served."),
        (S, "workers", number!(One, 0..=1_024, console.workers), "Threads that serve HTTP; 0 is one a core."),
        (S, "token", Place::Secret { field: |s| &mut s.console.token, file_key: "token_file" }, "What whoever reads must send; without one only this machine is answered."),
        (S, "max_report_visitors", number!(One, 1..=100_000_000, console.max_report_visitors), "Visitors that a report from raw events counts, at most; it holds each in some 250 bytes, and two are made at once."),
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
        (S, "max_size", number!(Bytes, 16 * MIB..=64 * TIB, log.max_bytes), "Records that wait to be aggregated, at most, before compression (the disk holds about a third); beyond: 503."),
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
        (S, "ca_file", Place::File(|s| &mut s.clickhouse.ca_file), "Certificates (PEM) of the authorities to trust beside the system's, where `url` is `https://`."),
        (S, "replicated", Place::Switch(|s| &mut s.clickhouse.replicated), "Whether tables are made with replicated engines, and inserts wait for a majority of replicas."),
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
        (S, "brokers", Place::Optional(|s| &mut s.kafka.brokers), "`host:port` of some of Kafka's brokers, separated by commas: the log of `rungs collector`, `rungs aggregator` and `rungs console`."),
        (S, "topic_prefix", Place::Optional(|s| &mut s.kafka.topic_prefix), "Begins the names of the topics and of the consumer group, e.g. `staging.`."),
        (S, "partitions", number!(One, 1..=1_024, kafka.partitions), "Partitions of the topic `rungs.events.v1`."),
        (S, "replication", number!(One, 1..=16, kafka.replication), "Copies of each partition, where a topic is created."),
        (S, "retention", number!(Milliseconds, HOUR..=3_660 * DAY, kafka.retention_ms), "How long the topics keep events: longer than the aggregator may be away."),
        (S, "instance_id", Place::Optional(|s| &mut s.kafka.instance_id), "Names this aggregator for ever, e.g. its pod: started again soon, it goes on with its partitions. No two may share one."),
        (S, "username", Place::Optional(|s| &mut s.kafka.username), "SASL user; with one, connections use TLS and SCRAM-SHA-512 unless `options` say otherwise."),
        (S, "password", Place::Secret { field: |s| &mut s.kafka.password, file_key: "password_file" }, "The user's password."),
        (S, "ca_file", Place::File(|s| &mut s.kafka.ca_file), "Certificates (PEM) of the authorities to trust; with one, connections use TLS."),
        (S, "certificate_file", Place::File(|s| &mut s.kafka.certificate_file), "This service's own certificate (PEM), where brokers ask for one."),
        (S, "key_file", Place::File(|s| &mut s.kafka.key_file), "Its private key (PEM)."),
        (S, "max_in_flight", number!(Bytes, MIB..=16 * GIB, kafka.max_in_flight_bytes), "Messages that wait for Kafka's acknowledgement, at most; beyond: the spill, or 503."),
        (S, "record_size", number!(Bytes, 0..=MIB / 2, kafka.record_bytes), "Events of a partition that arrive while a record is on its way to Kafka travel together in the next one, of about this size at most; `0B`: each event has a record of its own, for other programs that read the topic."),
        (S, "fetch_buffer", number!(Bytes, MIB..=16 * GIB, kafka.fetch_buffer_bytes), "Fetched records that wait to be aggregated, about, over all partitions."),
        (S, "options", Place::Options(|s| &mut s.kafka.options), "librdkafka's own options, passed through: `\"sasl.mechanism\" = \"PLAIN\"`; in the environment `key=value,key=value`."),
    ]
}
