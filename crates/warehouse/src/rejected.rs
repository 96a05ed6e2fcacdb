//! The table `rejected_events`: what was not taken and why, for [`Warehouse::trace`](crate::trace) and for people.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::client::Warehouse;
use crate::error::WarehouseError;

/// An event that was not stored. Stored twice, it has the same `id`: readers take one row of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct RejectedRow {
    /// UTC milliseconds.
    pub received_at: i64,
    pub site: String,
    /// The collector's endpoint, or `log`.
    pub endpoint: String,
    /// A code, as in the metrics.
    pub reason: String,
    pub message: String,
    pub message_id: String,
    pub event: String,
    /// The beginning of what was sent.
    pub sample: String,
    pub visitor_id: String,
    pub id: String,
    /// The length of what was sent.
    pub bytes: u64,
    /// Where it lies in Kafka; empty if it never came there.
    pub topic: String,
    pub log_partition: u32,
    pub log_offset: u64,
}

impl Warehouse {
    /// Stores rejected events.
    ///
    /// # Errors
    /// ClickHouse's; trying again is safe.
    pub async fn insert_rejected(&self, rows: &[RejectedRow]) -> Result<(), WarehouseError> {
        self.insert::<RejectedRow>("rejected_events", rows).await
    }
}
