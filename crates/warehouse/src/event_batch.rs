//! Raw events on their way into the `events` table, already in ClickHouse's RowBinary: an event is written once, from
//! the log's bytes straight into the body of the insert. The aggregator's lanes fill batches, its writer sends them.

use bytes::Bytes;

use crate::rows::EventRow;

/// The columns of a batch, in order.
pub const COLUMNS: &str = "site, visitor_id, message_id, event, kind, user_id, ts, own_ts, received_at, properties, \
    context, revenue, currency, channel, source, medium, campaign, content, device, browser, os, country, import_id, \
    log_epoch, offset, version";

/// Rows of one insert.
#[derive(Debug, Clone, Default)]
pub struct EventBatch {
    body: Vec<u8>,
    rows: usize,
}

/// A batch that gets no more rows; clones share its bytes.
#[derive(Debug, Clone)]
pub struct SealedBatch {
    body: Bytes,
    rows: usize,
}

impl SealedBatch {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The body of an `INSERT … FORMAT RowBinary`.
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl EventBatch {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Closes the batch, ready to be sent, as often as it takes.
    pub fn seal(self) -> SealedBatch {
        SealedBatch { body: self.body.into(), rows: self.rows }
    }

    /// Appends a row.
    pub fn push(&mut self, row: &EventRow<'_>) {
        let out = &mut self.body;
        for text in [row.site, row.visitor_id, row.message_id, row.event, row.kind, row.user_id] {
            put_text(out, text);
        }
        for number in [row.ts, row.own_ts, row.received_at] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_text(out, row.properties);
        put_text(out, row.context);
        out.extend_from_slice(&row.revenue.to_le_bytes());
        for text in [
            row.currency,
            row.channel,
            row.source,
            row.medium,
            row.campaign,
            row.content,
            row.device,
            row.browser,
            row.os,
            row.country,
            row.import_id,
        ] {
            put_text(out, text);
        }
        out.extend_from_slice(&row.log_epoch.to_le_bytes());
        out.extend_from_slice(&row.offset.to_le_bytes());
        out.extend_from_slice(&row.version.to_le_bytes());
        self.rows += 1;
    }
}

/// A length in 7-bit groups, then the bytes.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text.as_bytes());
}
