//! Journeys on their way into the `journeys` table. A flush writes many: every visitor who did something since the last.

use crate::client::Warehouse;
use crate::error::WarehouseError;
use crate::native::{Block, put_text};
use crate::rows::JourneyRow;

impl Warehouse {
    /// Stores journeys; durable when it returns.
    ///
    /// # Errors
    /// ClickHouse's; trying again is safe.
    pub async fn insert_journeys(&self, rows: &[JourneyRow]) -> Result<(), WarehouseError> {
        self.insert_block("journeys", &block_of(rows)).await
    }
}

fn block_of(rows: &[JourneyRow]) -> Block {
    let column = |put: fn(&mut Vec<u8>, &JourneyRow)| {
        let mut values = Vec::new();
        rows.iter().for_each(|row| put(&mut values, row));
        values
    };
    let mut block = Block::of(rows.len());
    block.column("site", "String", column(|out, row| put_text(out, row.site.as_bytes())));
    block.column("funnel", "String", column(|out, row| put_text(out, row.funnel.as_bytes())));
    block.column("definition", "UInt64", column(|out, row| out.extend(row.definition.to_le_bytes())));
    block.column("generation", "UInt64", column(|out, row| out.extend(row.generation.to_le_bytes())));
    block.column("log_partition", "UInt32", column(|out, row| out.extend(row.log_partition.to_le_bytes())));
    block.column("visitor", "UInt128", column(|out, row| out.extend(row.visitor.to_le_bytes())));
    block.column("state", "String", column(|out, row| put_text(out, &row.state)));
    block.column("version", "UInt64", column(|out, row| out.extend(row.version.to_le_bytes())));
    block
}
