//! What a panic said, where one is caught: by lanes, builds, and the translation of other producers' records.

use std::any::Any;

use event_log::LogRecord;

/// A record that made a fold panic: its funnel is in no state to go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("counting the record at offset {} panicked: {cause}. It is refused from now on", .record.offset)]
pub struct Panicked {
    pub record: LogRecord,
    pub cause: String,
}

/// What a panic said.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "for no reason told".to_owned())
}
