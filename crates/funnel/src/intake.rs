//! From an event's fields to what a fold takes: matching, breakdown values and hashes. The aggregator's lanes, builds from
//! raw events and reports share it, so that they cannot differ.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::fold::{Fold, FoldEvent};
use crate::plan::limits::MAX_BREAKDOWNS;
use crate::plan::{CompiledFunnel, EventFields};
use crate::tracks::ENTRIES;

/// An event as the log or the raw table has it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// What it is matched by.
    pub fields: EventFields<'a>,
    /// Hash of the visitor's id: anonymousId, or userId where there is none ([`visitor_hash`]).
    pub visitor: u128,
    /// The user id that it names, or nothing; only asked for where a site joins ids ([`crate::identity`]).
    pub user_id: &'a str,
    /// Hash of what identifies the event within (site, visitor) ([`message_hash`]).
    pub message: u64,
    /// Corrected, never later than the clock; UTC milliseconds.
    pub ts: i64,
    /// The client's own time.
    pub own_ts: i64,
}

/// A visitor's id as folds know it.
pub fn visitor_hash(visitor_id: &str) -> u128 {
    xxh3_128(visitor_id.as_bytes())
}

/// A message id as folds know it.
pub fn message_hash(message_id: &str) -> u64 {
    xxh3_64(message_id.as_bytes())
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
        visitor: event.visitor,
        message: event.message,
        ts: event.ts,
        own_ts: event.own_ts,
        matches,
        values,
    })
}
