//! Imports: events of the past under an id, and the record that ends one. `POST /v1/events?import=ID` stores rows;
//! `POST /v1/imports/{id}/complete` tells every aggregator to build the site's funnels anew; `GET /v1/imports/{id}` asks
//! the warehouse how far that is. All of it takes a secret key.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use event_log::{Message, Publisher};
use prost::Message as _;
use rungs_proto::v1::{Control, Record, control, record};
use serde::Deserialize;

use crate::limits::MAX_IMPORT_ID_BYTES;
use crate::refusal::Refusal;

/// What the warehouse knows about an import.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImportProgress {
    /// Rows of the import that can be read.
    pub stored_rows: u64,
    /// Whether the funnels that count them are complete.
    pub is_ready: bool,
    /// How much of that work is done, 0 to 1.
    pub progress: f64,
}

/// The warehouse did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the warehouse could not tell about the import: {0}")]
pub struct ImportStatusError(pub String);

/// Asks the warehouse about imports.
pub trait ImportStatus: Send + Sync + 'static {
    /// `None` if no row of the import has been stored.
    fn progress<'a>(
        &'a self,
        site: &'a str,
        import_id: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<ImportProgress>, ImportStatusError>> + Send + 'a>>;
}

/// Letters, digits, `-`, `_` and `.`.
pub(crate) fn check_id(id: &str) -> Result<(), Refusal> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_valid = !id.is_empty() && id.len() <= MAX_IMPORT_ID_BYTES && id.bytes().all(valid);
    if is_valid {
        Ok(())
    } else {
        Err(Refusal::InvalidRequest("import id (letters, digits, - _ .; at most 64)"))
    }
}

/// The body of `complete`.
#[derive(Debug, Deserialize)]
struct Completed {
    accepted_rows: u64,
}

/// The accepted rows that the body names.
pub(crate) fn accepted_rows(body: &[u8]) -> Result<u64, Refusal> {
    serde_json::from_slice::<Completed>(body)
        .map(|completed| completed.accepted_rows)
        .map_err(|error| Refusal::InvalidBody(format!("expected {{\"accepted_rows\":n}}: {error}")))
}

/// Tells every partition that an import is complete, or what else is to be counted anew; done when all of them have it.
pub(crate) async fn tell(
    publisher: &dyn Publisher,
    generation: u64,
    action: control::Action,
) -> Result<(), Refusal> {
    let control = Control { generation, action: Some(action) };
    let record = Record { body: Some(record::Body::Control(control)) };
    let value = Bytes::from(record.encode_to_vec());
    let message = |partition| Message { partition, value: value.clone() };
    publisher.publish((0..publisher.partitions()).map(message).collect())?.await?;
    Ok(())
}
