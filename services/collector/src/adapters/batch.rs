//! Segment's and RudderStack's batch: `{"batch":[event, …],"sentAt":…,"writeKey":…}`. Other fields are read over.

use super::events::{Collected, Limits, invalid, utf8};
use crate::draft::{Parsed, When};
use crate::json::{Scanner, Value};
use crate::refusal::Refusal;

/// Reads a batch. Without a field `batch` that is an array, nothing can be read.
pub(super) fn parse(body: &[u8], limits: Limits) -> Result<Parsed<'_>, Refusal> {
    let mut scanner = Scanner::new(utf8(body)?);
    let mut collected = Collected::new(limits);
    let (mut sent_at, mut write_key) = (Value::Null, Value::Null);
    let mut found = false;
    scanner
        .object(|scanner, key| {
            match (key.decode().as_ref(), scanner.peek()) {
                ("batch", Some(b'[')) => {
                    // Of a field that is there twice the last one counts.
                    (found, collected) = (true, Collected::new(limits));
                    return scanner.array(|scanner| collected.event(scanner, None));
                }
                ("batch", _) => {
                    found = false;
                    scanner.value()?;
                }
                ("sentAt", _) => sent_at = scanner.value()?,
                ("writeKey", _) => write_key = scanner.value()?,
                _ => drop(scanner.value()?),
            }
            // A flaw outside of the events is no event's.
            scanner.take_flaw();
            Ok(())
        })
        .and_then(|()| scanner.end())
        .map_err(invalid)?;
    if !found {
        return Err(Refusal::InvalidBody("a batch is an object with an array `batch`".into()));
    }
    let mut parsed = collected.finish()?;
    parsed.sent_at = When::written(sent_at);
    parsed.write_key = write_key.text().or(parsed.write_key);
    Ok(parsed)
}
