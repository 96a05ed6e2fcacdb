//! From an event's fields to what a fold takes: matching, breakdown values and hashes. The aggregator's lanes, builds from
//! raw events and reports share it, so that they cannot differ.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::fold::{Fold, FoldEvent};
use crate::journey::ENTRIES;
use crate::plan::limits::MAX_BREAKDOWNS;
use crate::plan::{CompiledFunnel, EventFields};

/// An event as the log or the raw table has it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// What it is matched by.
    pub fields: EventFields<'a>,
    /// anonymousId, or userId where there is none.
    pub visitor_id: &'a str,
    /// Identifies the event within (site, visitor).
    pub message_id: &'a str,
    /// Corrected, never later than the clock; UTC milliseconds.
    pub ts: i64,
    /// The client's own time.
    pub own_ts: i64,
}

/// The event as the fold takes it, if it matches a step or an offer. Value ids are given here, for every entry and offer
/// in the order of the events, whatever becomes of the event.
pub fn matched(funnel: &CompiledFunnel, fold: &mut Fold, event: &Incoming<'_>) -> Option<FoldEvent> {
    let matches = funnel.matches(&event.fields);
    if matches == 0 {
        return None;
    }
    let mut values = [0; MAX_BREAKDOWNS];
    if matches & ENTRIES != 0 {
        for (breakdown, (slot, value)) in
            values.iter_mut().zip(funnel.breakdown_values(&event.fields)).enumerate()
        {
            *slot = fold.value_id(breakdown, &value);
        }
    }
    Some(FoldEvent {
        visitor: xxh3_128(event.visitor_id.as_bytes()),
        message: xxh3_64(event.message_id.as_bytes()),
        ts: event.ts,
        own_ts: event.own_ts,
        matches,
        values,
    })
}
