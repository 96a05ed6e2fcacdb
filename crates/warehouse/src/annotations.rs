//! The table `annotations`: notes on a site's time line, drawn beside the numbers. The console writes and reads them.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::client::{Warehouse, fetch_all};
use crate::error::WarehouseError;

/// Notes of one answer, at most: the newest.
pub const MAX_ANNOTATIONS: u32 = 500;

/// A note.
#[derive(Debug, Clone, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Annotation {
    pub site: String,
    /// Unique within the site; a note that is written again replaces the one before.
    pub id: String,
    /// UTC milliseconds.
    pub at: i64,
    /// Empty: the note was removed.
    pub text: String,
}

impl Warehouse {
    /// Stores a note; durable when it returns.
    ///
    /// # Errors
    /// ClickHouse's; trying again is safe.
    pub async fn annotate(&self, note: &Annotation) -> Result<(), WarehouseError> {
        self.insert::<Annotation>("annotations", std::slice::from_ref(note)).await
    }

    /// Removes a note: one without a text is written in its place, which no reader shows. Whether there was one.
    ///
    /// # Errors
    /// ClickHouse's; trying again is safe.
    pub async fn remove_annotation(&self, site: &str, id: &str) -> Result<bool, WarehouseError> {
        let sql = "SELECT count() FROM annotations FINAL WHERE site = ? AND id = ? AND text != ''";
        let found: Vec<u64> = fetch_all("annotations", self.query(sql).bind(site).bind(id)).await?;
        if found.first().is_none_or(|count| *count == 0) {
            return Ok(false);
        }
        self.annotate(&Annotation { site: site.to_owned(), id: id.to_owned(), at: 0, text: String::new() })
            .await?;
        Ok(true)
    }

    /// A site's notes at or after `from_ms` and before `to_ms` (UTC milliseconds), by their time.
    ///
    /// # Errors
    /// ClickHouse's.
    pub async fn annotations(
        &self,
        site: &str,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Annotation>, WarehouseError> {
        let sql = format!(
            "SELECT ?fields FROM (SELECT * FROM annotations FINAL WHERE site = ? AND text != '' \
             AND toUnixTimestamp64Milli(at) >= ? AND toUnixTimestamp64Milli(at) < ? \
             ORDER BY at DESC, id LIMIT {MAX_ANNOTATIONS}) ORDER BY at, id"
        );
        fetch_all("annotations", self.query(&sql).bind(site).bind(from_ms).bind(to_ms)).await
    }
}
