//! Wall time, where a service needs it: to say when something was, and when something is due. Nothing that is counted
//! depends on it; whatever does takes its time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, UTC milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
