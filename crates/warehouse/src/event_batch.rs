//! Raw events on their way into the `events` table: an event's fields are written once, from the log's bytes straight
//! into the columns of the insert. The aggregator's lanes fill batches, its writer sends them.

use crate::client::Warehouse;
use crate::error::WarehouseError;
use crate::native::{Block, put_text};
use crate::rows::EventRow;

/// Rows of one insert.
#[derive(Debug, Clone, Default)]
pub struct EventBatch {
    rows: usize,
    bytes: usize,
    texts: [Vec<u8>; TEXTS.len()],
    numbers: [Vec<u8>; NUMBERS.len()],
    epochs: Vec<u8>,
    retentions: Vec<u8>,
    oldest_ms: Option<i64>,
}

/// A batch that gets no more rows; clones share its bytes.
pub type SealedBatch = Block;

/// Which part of its predecessor's size a batch has as room beside it. What is not written takes no memory.
const SPARE: usize = 8;

/// The columns of texts.
const TEXTS: [&str; 19] = [
    "site",
    "visitor_id",
    "message_id",
    "event",
    "kind",
    "user_id",
    "properties",
    "context",
    "currency",
    "channel",
    "source",
    "medium",
    "campaign",
    "content",
    "device",
    "browser",
    "os",
    "country",
    "import_id",
];

/// Their values in a row.
fn texts_of<'a>(row: &EventRow<'a>) -> [&'a str; TEXTS.len()] {
    [
        row.site,
        row.visitor_id,
        row.message_id,
        row.event,
        row.kind,
        row.user_id,
        row.properties,
        row.context,
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
    ]
}

const TIME: &str = "DateTime64(3, 'UTC')";

/// The columns of 64-bit numbers with their types.
const NUMBERS: [(&str, &str); 6] = [
    ("ts", TIME),
    ("own_ts", TIME),
    ("received_at", TIME),
    ("revenue", "Decimal(18, 4)"),
    ("offset", "UInt64"),
    ("version", "UInt64"),
];

/// Their values in a row.
fn numbers_of(row: &EventRow<'_>) -> [[u8; 8]; NUMBERS.len()] {
    [
        row.ts.to_le_bytes(),
        row.own_ts.to_le_bytes(),
        row.received_at.to_le_bytes(),
        row.revenue.to_le_bytes(),
        row.offset.to_le_bytes(),
        row.version.to_le_bytes(),
    ]
}

impl EventBatch {
    /// An empty batch with room for a little more than this one holds: the next one of a lane has about as much, and columns
    /// that grow are copied.
    #[must_use]
    pub fn successor(&self) -> Self {
        let room = |column: &Vec<u8>| Vec::with_capacity(column.len() + column.len() / SPARE);
        Self {
            texts: self.texts.each_ref().map(room),
            numbers: self.numbers.each_ref().map(room),
            epochs: room(&self.epochs),
            retentions: room(&self.retentions),
            ..Self::default()
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a row.
    pub fn push(&mut self, row: &EventRow<'_>) {
        for (column, text) in self.texts.iter_mut().zip(texts_of(row)) {
            let before = column.len();
            put_text(column, text.as_bytes());
            self.bytes += column.len() - before;
        }
        for (column, number) in self.numbers.iter_mut().zip(numbers_of(row)) {
            column.extend_from_slice(&number);
        }
        self.epochs.extend_from_slice(&row.log_epoch.to_le_bytes());
        self.retentions.extend_from_slice(&row.retention_days.to_le_bytes());
        self.bytes += NUMBERS.len() * size_of::<u64>() + size_of::<u32>() + size_of::<u16>();
        self.rows += 1;
        if row.import_id.is_empty() {
            self.oldest_ms = Some(self.oldest_ms.map_or(row.received_at, |known| known.min(row.received_at)));
        }
    }

    /// Closes the batch, ready to be sent, as often as it takes.
    pub fn seal(self) -> SealedBatch {
        let mut block = Block::of(self.rows);
        block.oldest_ms = self.oldest_ms;
        for (name, values) in TEXTS.into_iter().zip(self.texts) {
            block.column(name, "String", values);
        }
        for ((name, kind), values) in NUMBERS.into_iter().zip(self.numbers) {
            block.column(name, kind, values);
        }
        block.column("log_epoch", "UInt32", self.epochs);
        block.column("retention_days", "UInt16", self.retentions);
        block
    }
}

impl Warehouse {
    /// Stores a batch of raw events; durable when it returns.
    ///
    /// # Errors
    /// ClickHouse's; trying again is safe.
    pub async fn insert_events(&self, batch: &SealedBatch) -> Result<(), WarehouseError> {
        self.insert_block("events", batch).await
    }
}
