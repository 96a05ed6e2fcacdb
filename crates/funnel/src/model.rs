//! The definition of every number, written as directly as possible and slow: the yardstick of the tests of this crate,
//! of the aggregator and of the running program. Nothing here is shared with the fold but types.

#![allow(clippy::indexing_slicing)] // as short as the definition; it runs in tests only

use std::collections::BTreeMap;

use crate::buckets;
use crate::counts::Counts;
use crate::fold::{FoldEvent, Spec};
use crate::track::{OFFER_SHIFT, STEP_BITS};

/// The counts at `end_ms` (exclusive) over accepted events that happened before it: for everybody (value 0) and for
/// each breakdown value that an entry or offer carries. Values without any count are left out.
pub fn counts(spec: &Spec, events: &[FoldEvent], end_ms: i64) -> BTreeMap<u16, Counts> {
    let mut by_visitor: BTreeMap<u128, Vec<FoldEvent>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.ts < end_ms) {
        by_visitor.entry(event.visitor).or_default().push(*event);
    }
    let windows = spec.rolling_windows_ms.len();
    let mut all = BTreeMap::from([(0, Counts::new(spec.steps, windows))]);
    for events in by_visitor.values() {
        count_visitor(spec, events, None, end_ms, all.entry(0).or_default());
        let mut values: Vec<u16> = events.iter().filter(|e| is_entry(e)).flat_map(|e| e.values).collect();
        values.sort_unstable();
        values.dedup();
        for value in values.into_iter().filter(|value| *value != 0) {
            let counts = all.entry(value).or_insert_with(|| Counts::new(spec.steps, windows));
            count_visitor(spec, events, Some(value), end_ms, counts);
        }
    }
    all.retain(|value, counts| *value == 0 || !counts.is_zero());
    all
}

fn is_entry(event: &FoldEvent) -> bool {
    event.matches & 1 != 0 || event.matches & !STEP_BITS != 0
}

/// The times at which a step matched; the first step's (and offers') only with the breakdown value, where one is asked.
fn times(events: &[FoldEvent], bit: u32, value: Option<u16>) -> Vec<i64> {
    let carried = |event: &&FoldEvent| value.is_none_or(|value| event.values.contains(&value));
    let needs_value = bit == 0 || bit >= OFFER_SHIFT;
    let matching = events.iter().filter(|event| event.matches & (1 << bit) != 0);
    let mut times: Vec<i64> =
        matching.filter(|event| !needs_value || carried(event)).map(|event| event.ts).collect();
    times.sort_unstable();
    times
}

/// The latest start of a chain over `steps` (times of each step), and when it reached its last and its last but one.
fn latest_chain(steps: &[Vec<i64>], window_ms: i64) -> Option<(i64, i64, i64)> {
    let (first, later) = steps.split_first()?;
    first.iter().rev().find_map(|start| {
        let (mut reached, mut before) = (*start, *start);
        for step in later {
            before = reached;
            reached = *step.iter().find(|time| **time >= before)?;
        }
        (reached - start <= window_ms).then_some((*start, reached, before))
    })
}

fn count_visitor(spec: &Spec, events: &[FoldEvent], value: Option<u16>, end_ms: i64, counts: &mut Counts) {
    let steps: Vec<Vec<i64>> = (0..spec.steps as u32).map(|step| times(events, step, value)).collect();
    let windows = spec.rolling_windows_ms.len();
    let chains: Vec<_> = (0..spec.steps)
        .map(|k| latest_chain(steps.get(..=k).unwrap_or(&[]), spec.conversion_window_ms))
        .collect();
    let offers: Vec<_> = (0..spec.steps)
        .map(|k| times(events, OFFER_SHIFT + k as u32, value))
        .zip(&steps)
        .map(|(offers, step)| {
            (offers.last().copied(), latest_chain(&[offers, step.clone()], spec.conversion_window_ms))
        })
        .collect();
    for (window, length) in spec.rolling_windows_ms.iter().enumerate() {
        let inside = |time: i64| time >= end_ms - length;
        for k in 0..spec.steps {
            let flat = k * windows + window;
            if let Some((anchor, reached, before)) = chains[k].filter(|chain| inside(chain.0)) {
                let _ = anchor;
                counts.visitors[flat] += 1;
                if k > 0 {
                    counts.seconds[flat * buckets::COUNT + buckets::bucket_of(reached - before)] += 1;
                }
            }
            let (shown, taken) = offers[k];
            if shown.is_some_and(inside) {
                counts.offered[flat] += 1;
            }
            if let Some((offer, reached, _)) = taken.filter(|chain| inside(chain.0)) {
                counts.committed[flat] += 1;
                counts.effort[flat * buckets::COUNT + buckets::bucket_of(reached - offer)] += 1;
            }
            let later = steps[k + 1..].iter().flatten().any(|time| inside(*time));
            let this = steps[k].iter().any(|time| inside(*time));
            if value.is_none() && later && !this {
                counts.skipped[flat] += 1;
            }
        }
    }
    let stands = |k: &usize| chains[*k].is_some_and(|chain| chain.0 >= end_ms - spec.conversion_window_ms);
    if let Some(highest) = (0..spec.steps).rev().find(stands) {
        counts.open[highest] += 1;
    }
}
