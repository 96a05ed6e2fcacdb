//! What a collector asks the warehouse, which it writes nothing to: how far an import is, and of which visitors events are
//! stored. The program that runs the collector answers.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

/// An answer that is waited for.
pub type WarehouseAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, WarehouseStatusError>> + Send + 'a>>;

/// What the warehouse knows about an import.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImportProgress {
    /// Rows of the import that can be read.
    pub stored_rows: u64,
    /// Once all were read: accepted rows that are not stored under the import. They are copies of events that were there
    /// before, of erased visitors, or were removed by retention.
    pub not_stored_rows: u64,
    /// Whether all rows were read, to the import's end, and the funnels that count them are complete.
    pub is_ready: bool,
    /// How much of that work is done, 0 to 1.
    pub progress: f64,
}

/// The warehouse did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the warehouse could not tell: {0}")]
pub struct WarehouseStatusError(pub String);

/// Asks the warehouse.
pub trait WarehouseStatus: Send + Sync + 'static {
    /// `None` if no row of the import has been stored, nor its end.
    fn progress<'a>(
        &'a self,
        site: &'a str,
        import_id: &'a str,
    ) -> WarehouseAnswer<'a, Option<ImportProgress>>;

    /// Those of a site's visitors of whom an event is stored; what was accepted a moment ago may not be yet.
    fn stored_visitors<'a>(
        &'a self,
        site: &'a str,
        visitors: Vec<String>,
    ) -> WarehouseAnswer<'a, HashSet<String>>;
}
