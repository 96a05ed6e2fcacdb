//! Inserts of whole columns, in ClickHouse's Native format: one block, each column with its name, its type and its values.
//! Raw events and journeys are inserted so ([`crate::event_batch`], [`crate::journey_batch`]); it costs the server less
//! than rows, which it would have to take apart.
//!
//! Source of the format: ClickHouse's documentation of `Native`. A block is a number of columns and of rows, then the
//! columns; texts are a length in 7-bit groups and their bytes, numbers are little-endian.

use bytes::Bytes;

use crate::client::{INSERT_TIMEOUT, Warehouse, within};
use crate::error::WarehouseError;

/// A block that gets no more rows; clones share its bytes.
#[derive(Debug, Clone, Default)]
pub struct Block {
    names: Vec<&'static str>,
    columns: Vec<Bytes>,
    rows: usize,
    /// When the oldest row that people wait for was accepted, UTC milliseconds.
    pub(crate) oldest_ms: Option<i64>,
}

impl Block {
    /// A block of so many rows, without columns.
    pub(crate) fn of(rows: usize) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Adds a column: the values of all rows, in the format's form of the type.
    pub(crate) fn column(&mut self, name: &'static str, kind: &str, values: Vec<u8>) {
        let mut head = Vec::new();
        put_text(&mut head, name.as_bytes());
        put_text(&mut head, kind.as_bytes());
        self.names.push(name);
        self.columns.extend([head.into(), values.into()]);
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// When the oldest of the rows was accepted, UTC milliseconds; none if the block does not say, or all are imported.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.oldest_ms
    }

    /// The body of an insert, in pieces.
    pub fn body(&self) -> impl Iterator<Item = Bytes> {
        let mut head = Vec::new();
        put_number(&mut head, self.names.len());
        put_number(&mut head, self.rows);
        std::iter::once(head.into()).chain(self.columns.iter().cloned())
    }
}

impl Warehouse {
    /// Inserts a block; durable when it returns. No rows, no request.
    pub(crate) async fn insert_block(
        &self,
        table: &'static str,
        block: &Block,
    ) -> Result<(), WarehouseError> {
        if block.rows == 0 {
            return Ok(());
        }
        let sql = format!("INSERT INTO {table} ({}) FORMAT Native", block.names.join(", "));
        let _turn = self.replicas.turn(table).await;
        within(table, INSERT_TIMEOUT, async {
            let mut insert = self.inserting().insert_formatted_with(sql);
            for piece in block.body() {
                insert.send(piece).await?;
            }
            insert.end().await
        })
        .await
    }
}

/// A length, then the bytes.
#[inline(always)]
pub(crate) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        0 => out.push(0),
        short @ ..0x80 => {
            out.reserve(1 + short);
            out.push(short as u8);
            out.extend_from_slice(text);
        }
        long => {
            put_number(out, long);
            out.extend_from_slice(text);
        }
    }
}

/// A number in 7-bit groups, the lowest first.
fn put_number(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_its_size_and_then_its_columns() {
        let mut block = Block::of(300);
        block.column("n", "UInt8", vec![7; 300]);
        let body: Vec<u8> = block.body().flatten().collect();
        assert_eq!(body[..3], [1, 0xac, 0x02], "one column, 300 rows");
        assert_eq!(body[3..11], *b"\x01n\x05UInt8");
        assert_eq!(body[11..], [7; 300]);
    }
}
