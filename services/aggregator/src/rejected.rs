//! From what was not taken to the table `rejected_events`: a thread of its own takes batches from the
//! [`RejectedSource`] and stores each until it succeeds. It delays nobody: a warehouse that is away makes it wait, and
//! then Kafka's topic keeps the rejections, or the process's queue is full and further ones are only counted.

use std::time::Duration;

use event_log::rejected::{Rejected, RejectedSource};
use runtime::Shutdown;
use tokio::runtime::Handle;
use warehouse::Warehouse;
use warehouse::rejected::RejectedRow;

/// Rows of one insert, at most.
const BATCH: usize = 1_000;
/// How long the first of a batch is waited for: how soon the thread sees that it is to end.
const WAIT: Duration = Duration::from_millis(200);
/// After a batch others gather for so long: rejections are seldom few, and inserts are dear.
const GATHER: Duration = Duration::from_millis(500);
/// A warehouse that is away is asked again after this long.
const PAUSE: Duration = Duration::from_secs(2);

/// Stores rejections until shutdown is requested.
pub(crate) fn run(
    mut source: Box<dyn RejectedSource>,
    warehouse: &Warehouse,
    runtime: &Handle,
    shutdown: &Shutdown,
) {
    loop {
        // Once more after the request: what a collector that ends before us left behind.
        let last = shutdown.is_requested();
        let taken = source.take(BATCH, if last { Duration::ZERO } else { WAIT });
        if !taken.is_empty() {
            let rows: Vec<RejectedRow> = taken.into_iter().map(row_of).collect();
            if !store(warehouse, &rows, runtime, shutdown) {
                return;
            }
            source.stored();
        }
        if last {
            return;
        }
        let gather = async { drop(tokio::time::timeout(GATHER, shutdown.requested()).await) };
        runtime.block_on(gather);
    }
}

/// Whether the rows are stored; not, if the warehouse is away when shutdown is requested.
fn store(warehouse: &Warehouse, rows: &[RejectedRow], runtime: &Handle, shutdown: &Shutdown) -> bool {
    loop {
        match runtime.block_on(warehouse.insert_rejected(rows)) {
            Ok(()) => return true,
            Err(error) => tracing::warn!(%error, "rejected events could not be stored; trying again"),
        }
        if shutdown.is_requested() {
            return false;
        }
        runtime.block_on(async { drop(tokio::time::timeout(PAUSE, shutdown.requested()).await) });
    }
}

/// Times that a DateTime64 cannot hold would make the whole insert fail.
fn row_of(rejected: Rejected) -> RejectedRow {
    const LATEST_MS: i64 = 9_000_000_000_000;
    RejectedRow {
        received_at: rejected.received_at_ms.clamp(0, LATEST_MS),
        site: rejected.site,
        endpoint: rejected.endpoint,
        reason: rejected.reason,
        message: rejected.message,
        message_id: rejected.message_id,
        event: rejected.event,
        sample: rejected.sample,
        visitor_id: rejected.visitor_id,
        id: rejected.id,
        bytes: rejected.bytes,
        topic: rejected.topic,
        log_partition: rejected.partition,
        log_offset: rejected.offset,
    }
}
