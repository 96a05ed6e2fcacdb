//! Reads raw events as they count: distinct, in time order, without visitors who asked to be forgotten. Builds from raw
//! and reports call it.
//!
//! Distinct means (site, visitor, message id), the first copy by the log; it is taken (`FINAL`) before any filter by time
//! or name, because a later copy may carry another time or name. Only the site, the visitor and so the partition, which
//! all copies share, are filtered before.

use clickhouse::Row;
use clickhouse::query::{Query, RowCursor};
use funnel::intake::{Incoming, message_hash, visitor_hash};
use funnel::plan::{Derived, EventFields};
use serde::Deserialize;

use crate::client::{READ_TIMEOUT, Warehouse, within};
use crate::error::WarehouseError;
use crate::links::LinkSet;

mod joined;

/// Above this a sort of raw events goes through the server's disk.
const MAX_SORT_BYTES: u64 = 1 << 30;

/// Which raw events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawQuery {
    pub site: String,
    /// Only this visitor's.
    pub visitor: Option<String>,
    /// Events of any of these names; empty: of every name.
    pub events: Vec<String>,
    /// At or after, UTC milliseconds.
    pub from_ms: Option<i64>,
    /// Before, UTC milliseconds.
    pub to_ms: Option<i64>,
    /// Only visitors of this partition, of so many (`event_log::partition_of`).
    pub partition: Option<(u32, u32)>,
    /// Only what the log had before this (epoch, offset): events, and records that erased visitors. A build leaves out those
    /// whom the log erases later when it gets there, so that each attempt of it reads the same.
    pub before: Option<(u32, u64)>,
    /// Where ids are joined: the set of links that says which. A partition then has, beside its own events, those that ids of
    /// other partitions had when the set was made and that may count for a visitor of its own.
    pub joined: Option<LinkSet>,
}

/// A stored event. Times are UTC milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Row, Deserialize)]
pub struct RawEvent {
    pub visitor_id: String,
    /// Read only where ids are joined; else empty.
    pub user_id: String,
    pub message_id: String,
    pub event: String,
    /// Corrected for the client's skew; what counts.
    pub ts: i64,
    /// As the client said.
    pub own_ts: i64,
    /// JSON text.
    pub properties: String,
    /// JSON text.
    pub context: String,
    pub channel: String,
    pub source: String,
    pub medium: String,
    pub campaign: String,
    pub content: String,
    pub device: String,
    pub browser: String,
    pub os: String,
    pub country: String,
}

impl RawEvent {
    /// The event as a fold takes it.
    pub fn incoming(&self) -> Incoming<'_> {
        let derived = Derived {
            channel: &self.channel,
            source: &self.source,
            medium: &self.medium,
            campaign: &self.campaign,
            content: &self.content,
            device: &self.device,
            browser: &self.browser,
            os: &self.os,
            country: &self.country,
        };
        let fields =
            EventFields { event: &self.event, properties: &self.properties, context: &self.context, derived };
        Incoming {
            fields,
            visitor: visitor_hash(&self.visitor_id),
            user_id: &self.user_id,
            message: message_hash(&self.message_id),
            ts: self.ts,
            own_ts: self.own_ts,
        }
    }
}

/// A stream of raw events in time order (equal times: by visitor, then as the log had them).
pub struct RawEvents(RowCursor<RawEvent>);

impl RawEvents {
    /// The next event; `None` at the end.
    ///
    /// # Errors
    /// When the connection or the query breaks off: what came before is then not all there is.
    pub async fn next(&mut self) -> Result<Option<RawEvent>, WarehouseError> {
        within("events", READ_TIMEOUT * 20, self.0.next()).await
    }
}

/// The columns of a [`RawEvent`], in its order. In place of `USER_ID` nothing is read, but where ids are joined.
const STORED_COLUMNS: &str = "visitor_id, USER_ID, message_id, event, ts, own_ts, properties, context, channel, source, medium, \
    campaign, content, device, browser, os, country";

/// Its value is the site.
pub(crate) const NOT_ERASED: &str = "visitor_id NOT IN (SELECT visitor_id FROM erasures WHERE site = ?)";
/// Its values are the site, an epoch and an offset.
const NOT_ERASED_BEFORE: &str = "visitor_id NOT IN (SELECT visitor_id FROM erasures WHERE site = ? \
    AND (log_epoch, log_offset) < (?, ?))";

impl Warehouse {
    /// The distinct events of a query, as a stream that holds little in memory here.
    pub fn raw_events(&self, wanted: &RawQuery) -> Result<RawEvents, WarehouseError> {
        let order = "ORDER BY ts, visitor_id, log_epoch, offset, message_id";
        let user_id = if wanted.joined.is_some() { "user_id" } else { "'' AS user_id" };
        let columns = STORED_COLUMNS.replace("USER_ID", user_id);
        let query = self
            .raw_query(&columns, wanted, order)
            .with_setting("max_bytes_before_external_sort", MAX_SORT_BYTES.to_string());
        Ok(RawEvents(query.fetch().map_err(|source| WarehouseError::statement("events", source))?))
    }

    /// How many distinct events a query would give.
    pub async fn count_raw_events(&self, wanted: &RawQuery) -> Result<u64, WarehouseError> {
        within("events", READ_TIMEOUT * 20, self.raw_query("count()", wanted, "").fetch_one()).await
    }

    fn raw_query(&self, columns: &str, wanted: &RawQuery, order: &str) -> Query {
        if let &RawQuery { joined: Some(ref set), partition: Some(partition), before: Some(before), .. } =
            wanted
        {
            let condition = joined::CONDITION;
            let sql = format!("SELECT {columns} FROM events FINAL WHERE {condition} {order}");
            return joined::bind(self.query_all(&sql), set, &wanted.events, partition, before);
        }
        let (conditions, numbers) = conditions(wanted);
        let sql = format!("SELECT {columns} FROM events FINAL WHERE {} {order}", conditions.join(" AND "));
        let query = self.query_all(&sql).bind(&wanted.site).bind(&wanted.site);
        let query = match wanted.before {
            None => query,
            Some((epoch, offset)) => query.bind(epoch).bind(offset),
        };
        let query = match &wanted.visitor {
            None => query,
            Some(visitor) => query.bind(visitor),
        };
        let query = match wanted.events.is_empty() {
            true => query,
            false => query.bind(&wanted.events),
        };
        numbers.into_iter().fold(query, Query::bind)
    }
}

/// The conditions in the order of their values: site twice, before what visitors were erased, visitor, names, then these numbers.
fn conditions(wanted: &RawQuery) -> (Vec<&'static str>, Vec<i128>) {
    let not_erased = if wanted.before.is_none() { NOT_ERASED } else { NOT_ERASED_BEFORE };
    let mut conditions = vec!["site = ?", not_erased];
    let mut numbers = Vec::new();
    if wanted.visitor.is_some() {
        conditions.push("visitor_id = ?");
    }
    if !wanted.events.is_empty() {
        conditions.push("event IN ?");
    }
    if let Some(from) = wanted.from_ms {
        conditions.push("ts >= fromUnixTimestamp64Milli(toInt64(?), 'UTC')");
        numbers.push(i128::from(from));
    }
    if let Some(to) = wanted.to_ms {
        conditions.push("ts < fromUnixTimestamp64Milli(toInt64(?), 'UTC')");
        numbers.push(i128::from(to));
    }
    if let Some((index, count)) = wanted.partition {
        conditions.push("kafkaMurmurHash(concat(site, '\\0', visitor_id)) % ? = ?");
        numbers.extend([i128::from(count.max(1)), i128::from(index)]);
    }
    if let Some((epoch, offset)) = wanted.before {
        conditions.push("(log_epoch, offset) < (?, ?)");
        numbers.extend([i128::from(epoch), i128::from(offset)]);
    }
    (conditions, numbers)
}
