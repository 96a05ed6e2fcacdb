//! Where an event went: what `rungs trace` reads. Answers come from the tables alone, so they say what was written, and
//! the caller says what may still be on its way.

use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::Deserialize;

use crate::client::{READ_TIMEOUT, Warehouse, fetch_all, within};
use crate::error::WarehouseError;
use crate::logs::current_log;
use crate::raw::{NOT_ERASED, RawEvent};
use crate::rejected::RejectedRow;

/// Rows of each kind that an answer has, at most: the newest.
pub const MAX_TRACED: u32 = 50;

/// Whose events are looked for; at least one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub site: String,
    pub message_id: Option<String>,
    pub visitor: Option<String>,
}

/// A row of `events`, copies included. Times are UTC milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    pub site: String,
    pub event: RawEvent,
    pub stored: Stored,
}

impl Traced {
    /// Whether it came too late to be counted live: older than this by when it came. Imports are counted by a build anyway.
    pub fn is_late(&self, horizon_ms: i64) -> bool {
        let oldest = self.event.ts.min(self.event.own_ts);
        self.stored.received_at.saturating_sub(oldest) > horizon_ms && self.stored.import_id.is_empty()
    }
}

/// When and from where it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub received_at: i64,
    /// Seconds since 1970.
    pub written_at: u32,
    pub log_epoch: u32,
    pub offset: u64,
    pub import_id: String,
}

/// The columns of both, read at once: two reads could see two states of the table.
#[derive(Debug, Row, Deserialize)]
pub(crate) struct TracedRow {
    visitor_id: String,
    message_id: String,
    event: String,
    ts: i64,
    own_ts: i64,
    properties: String,
    context: String,
    channel: String,
    source: String,
    medium: String,
    campaign: String,
    content: String,
    device: String,
    browser: String,
    os: String,
    country: String,
    received_at: i64,
    written_at: u32,
    log_epoch: u32,
    offset: u64,
    import_id: String,
}

impl TracedRow {
    pub(crate) fn of(self, site: &str) -> Traced {
        let event = RawEvent {
            visitor_id: self.visitor_id,
            user_id: String::new(),
            message_id: self.message_id,
            event: self.event,
            ts: self.ts,
            own_ts: self.own_ts,
            properties: self.properties,
            context: self.context,
            channel: self.channel,
            source: self.source,
            medium: self.medium,
            campaign: self.campaign,
            content: self.content,
            device: self.device,
            browser: self.browser,
            os: self.os,
            country: self.country,
        };
        let stored = Stored {
            received_at: self.received_at,
            written_at: self.written_at,
            log_epoch: self.log_epoch,
            offset: self.offset,
            import_id: self.import_id,
        };
        Traced { site: site.to_owned(), event, stored }
    }
}

/// A stream of a visitor's events in the order of the logs.
pub struct Arrivals {
    cursor: RowCursor<TracedRow>,
    site: String,
}

impl Arrivals {
    /// The next event; `None` at the end.
    ///
    /// # Errors
    /// When the connection or the query breaks off.
    pub async fn next(&mut self) -> Result<Option<Traced>, WarehouseError> {
        let row = within("events", READ_TIMEOUT * 20, self.cursor.next()).await?;
        Ok(row.map(|row| row.of(&self.site)))
    }
}

/// How far a partition of the log is.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Reached {
    pub log_partition: u32,
    pub log_partitions: u32,
    /// The first offset that is not folded.
    pub next_offset: u64,
    /// When the record before it was appended, UTC milliseconds.
    pub clock_ms: i64,
    pub plan_number: u64,
    pub plan_text: String,
}

/// Why events of a site were rejected lately.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct RejectedLately {
    pub reason: String,
    pub count: u64,
}

const REACHED_SQL: &str = concat!(
    "WITH (",
    current_log!(),
    ") AS log
    SELECT ?fields FROM progress WHERE log_id = log.1 AND funnel = '' AND kind = 'progress'
    ORDER BY log_partition, version DESC, written_at DESC LIMIT 1 BY log_partition"
);

impl Warehouse {
    /// The rows of `events` that are wanted, newest first; several of one message id are copies of one event, of which
    /// the one that the log had first counts.
    pub async fn trace_stored(&self, wanted: &Wanted) -> Result<Vec<Traced>, WarehouseError> {
        let (conditions, values) = conditions(wanted);
        let sql = format!(
            "SELECT ?fields FROM events WHERE {conditions} ORDER BY received_at DESC, log_epoch, offset \
             LIMIT {MAX_TRACED}"
        );
        let query = values.iter().fold(self.query(&sql), |query, value| query.bind(value));
        let rows: Vec<TracedRow> = fetch_all("events", query).await?;
        Ok(rows.into_iter().map(|row| row.of(&wanted.site)).collect())
    }

    /// The rejections that are wanted, newest first.
    pub async fn trace_rejected(&self, wanted: &Wanted) -> Result<Vec<RejectedRow>, WarehouseError> {
        let (conditions, values) = conditions(wanted);
        let sql = format!(
            "SELECT ?fields FROM rejected_events WHERE {conditions} ORDER BY received_at DESC LIMIT 1 BY id \
             LIMIT {MAX_TRACED}"
        );
        let query = values.iter().fold(self.query(&sql), |query, value| query.bind(value));
        fetch_all("rejected_events", query).await
    }

    /// A visitor's distinct events of these names in the order of the logs.
    ///
    /// # Errors
    /// When the query cannot be sent.
    pub fn arrivals(&self, site: &str, visitor: &str, events: &[String]) -> Result<Arrivals, WarehouseError> {
        let sql = "SELECT ?fields FROM events FINAL WHERE site = ? AND visitor_id = ? AND event IN ? \
                   ORDER BY log_epoch, offset";
        let query = self.query_all(sql).bind(site).bind(visitor).bind(events);
        let cursor = query.fetch().map_err(|source| WarehouseError::statement("events", source))?;
        Ok(Arrivals { cursor, site: site.to_owned() })
    }

    /// Sites that have an event of this message id.
    pub async fn sites_of_message(&self, message_id: &str) -> Result<Vec<String>, WarehouseError> {
        let sql = "SELECT DISTINCT site FROM (SELECT site FROM events WHERE message_id = ? \
                   UNION ALL SELECT site FROM rejected_events WHERE message_id = ?) ORDER BY site LIMIT 10";
        fetch_all("events", self.query(sql).bind(message_id).bind(message_id)).await
    }

    /// How far each partition of the log in use is.
    pub async fn reached(&self) -> Result<Vec<Reached>, WarehouseError> {
        fetch_all("progress", self.query(REACHED_SQL)).await
    }

    /// Why events of a site, or of nobody's, were rejected in the last hour.
    pub async fn rejected_lately(&self, site: &str) -> Result<Vec<RejectedLately>, WarehouseError> {
        let sql = "SELECT reason, uniqExact(id) AS count FROM rejected_events \
                   WHERE site IN (?, '') AND received_at > now() - INTERVAL 1 HOUR AND NOT startsWith(reason, 'stored_') \
                   GROUP BY reason ORDER BY count DESC, reason LIMIT 10";
        fetch_all("rejected_events", self.query(sql).bind(site)).await
    }
}

/// The conditions and their values in order; visitors who were erased have left no trace. A record of the log that was
/// refused may not tell its site.
fn conditions(wanted: &Wanted) -> (String, Vec<&str>) {
    let mut conditions = vec!["site = ?", NOT_ERASED];
    let mut values = vec![wanted.site.as_str(), wanted.site.as_str()];
    for (condition, value) in [("message_id = ?", &wanted.message_id), ("visitor_id = ?", &wanted.visitor)] {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(value);
        }
    }
    (conditions.join(" AND "), values)
}
