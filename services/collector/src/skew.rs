//! How far a client's clock is off: it says when it sent a request (`sentAt`), we know when it came. Only a large
//! difference says that the clock is wrong; a small one is the way here. Used by `validate`.
//!
//! A time of sending that lies before an event of the request is stale: the request is repeated as it was first meant, and
//! tells nothing about the clock. It is judged once for all events of a request, so that none overtakes another.

use crate::draft::{Draft, Parsed, When};
use crate::timestamp;

/// Clients cut the time of sending to whole seconds: events may be later by less.
const CUT_OFF_MS: i64 = 1_000;

/// By how much the clock of a client that sent at `sent_ms` is to be set forward, where it is clearly wrong.
pub(crate) fn of(sent_ms: i64, received_at_ms: i64, threshold_ms: i64) -> Option<i64> {
    let skew = received_at_ms.saturating_sub(sent_ms);
    (skew.saturating_abs() > threshold_ms).then_some(skew)
}

/// Whether a time of sending is older than what was sent.
pub(crate) fn is_stale(sent_ms: i64, own_ms: i64) -> bool {
    own_ms.saturating_sub(sent_ms) >= CUT_OFF_MS
}

/// When a request was sent, unless that is stale for one of the events which it is said of.
pub(crate) fn sent_at<'a>(parsed: &Parsed<'a>, received_at_ms: i64, threshold_ms: i64) -> When<'a> {
    let Ok(Some(sent_ms)) = timestamp::read(parsed.sent_at) else { return parsed.sent_at };
    if of(sent_ms, received_at_ms, threshold_ms).is_none() {
        return parsed.sent_at;
    }
    let without_its_own = |draft: &&Draft<'_>| draft.sent_at == When::Absent;
    let drafts = parsed.events.iter().flatten().filter(without_its_own);
    let mut own = drafts.filter_map(|draft| timestamp::read(draft.timestamp).ok().flatten());
    if own.any(|own_ms| is_stale(sent_ms, own_ms)) { When::Absent } else { parsed.sent_at }
}
