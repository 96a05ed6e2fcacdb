//! Imports: events of the past under an id, and the record that ends one. `POST /v1/events?import=ID` stores rows;
//! `POST /v1/imports/{id}/complete` tells every aggregator to build the site's funnels anew; `GET /v1/imports/{id}` asks
//! the warehouse how far that is. All of it takes a secret key.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use event_log::{Message, Publisher};
use rungs_proto::v1::control;
use serde::Deserialize;

use crate::limits::{MAX_IMPORT_ID_BYTES, MAX_SEEN_IMPORTS};
use crate::refusal::Refusal;

/// The imports whose rows this collector has taken, the newest ones.
#[derive(Debug, Default)]
pub(crate) struct SeenImports(Mutex<VecDeque<(String, String)>>);

impl SeenImports {
    /// Rows of an import of a site are stored.
    pub(crate) fn saw(&self, site: &str, id: &str) {
        let mut seen = self.lock();
        if seen.iter().any(|known| is(known, site, id)) {
            return;
        }
        if seen.len() >= MAX_SEEN_IMPORTS {
            seen.pop_front();
        }
        seen.push_back((site.to_owned(), id.to_owned()));
    }

    pub(crate) fn have(&self, site: &str, id: &str) -> bool {
        self.lock().iter().any(|known| is(known, site, id))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is(known: &(String, String), site: &str, id: &str) -> bool {
    known.0 == site && known.1 == id
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
    let value = Bytes::from(rungs_proto::control_record(generation, action));
    publisher.publish(Message::to_all(publisher.partitions(), &value))?.await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_imports_of_each_site_are_remembered() {
        let seen = SeenImports::default();
        seen.saw("shop", "a");
        seen.saw("shop", "a");
        assert!(seen.have("shop", "a") && !seen.have("blog", "a") && !seen.have("shop", "b"));
        for number in 0..MAX_SEEN_IMPORTS {
            seen.saw("blog", &number.to_string());
        }
        assert!(!seen.have("shop", "a") && seen.have("blog", "0"));
    }
}
