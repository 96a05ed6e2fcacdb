//! Random streams of events, with ties, duplicates, stragglers, late events, re-entry, events that match several steps
//! and breakdown values that change midway: at every minute end the fold's counts equal the definition's over the events
//! that the definition accepts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, HashSet};

use funnel::Counts;
use funnel::fold::{Fold, FoldEvent, Folded, Spec};
use funnel::model;
use funnel::values::Values;
use funnel::windows::MINUTE_MS;
use proptest::prelude::*;

const T0: i64 = 1_700_000_000_000 / MINUTE_MS * MINUTE_MS;

/// A record of the log: how long after the one before it was appended, and the event in it.
#[derive(Debug, Clone)]
struct Record {
    gap_ms: i64,
    visitor: u128,
    /// How long before the append the event happened, and by how much its own time differs.
    age_ms: i64,
    own_shift_ms: i64,
    matches: u32,
    value: u16,
    /// Repeat the record this many places back, if any.
    copy_of: Option<usize>,
}

fn spec(steps: usize) -> Spec {
    Spec {
        steps,
        conversion_window_ms: 20 * MINUTE_MS,
        rolling_windows_ms: vec![5 * MINUTE_MS, 30 * MINUTE_MS, 90 * MINUTE_MS],
        horizon_ms: 15 * MINUTE_MS,
        max_tail_events: 10_000,
    }
}

fn record() -> impl Strategy<Value = Record> {
    let gap = prop_oneof![4 => 0..3_000i64, 2 => 0..90_000i64, 1 => 0..40 * MINUTE_MS];
    // Coarse ages make equal times likely.
    let age = prop_oneof![3 => Just(0i64), 3 => (0..10i64).prop_map(|n| n * 1_000), 3 => 0..12 * MINUTE_MS,
        1 => 0..40 * MINUTE_MS];
    let own = prop_oneof![8 => Just(0i64), 1 => -20 * MINUTE_MS..20 * MINUTE_MS];
    let matches = prop_oneof![6 => (0..4u32).prop_map(|k| 1 << k), 2 => (0..4u32).prop_map(|k| 1 << (16 + k)),
        1 => 1..16u32, 1 => (0..16u32, 0..16u32).prop_map(|(s, o)| s | (o << 16))];
    let copy = prop_oneof![5 => Just(None), 1 => (1..8usize).prop_map(Some)];
    (gap, 1..4u128, age, own, matches, 0..3u16, copy).prop_map(
        |(gap_ms, visitor, age_ms, own_shift_ms, matches, value, copy_of)| Record {
            gap_ms,
            visitor,
            age_ms,
            own_shift_ms,
            matches,
            value,
            copy_of,
        },
    )
}

/// The log that the records describe: (append time, event).
fn log_of(records: &[Record], steps: usize) -> Vec<(i64, FoldEvent)> {
    let (mut clock, mut log) = (T0, Vec::<(i64, FoldEvent)>::new());
    for (index, record) in records.iter().enumerate() {
        clock += record.gap_ms;
        let mask = (1 << steps) - 1;
        let matches = record.matches & (mask | mask << 16);
        let ts = clock - record.age_ms;
        let fresh = FoldEvent {
            visitor: record.visitor,
            message: index as u64,
            ts,
            own_ts: ts + record.own_shift_ms,
            matches: if matches == 0 { 1 } else { matches },
            values: [record.value, 0, 0, 0],
        };
        let copied = record.copy_of.and_then(|back| index.checked_sub(back)).map(|from| log[from].1);
        log.push((clock, copied.unwrap_or(fresh)));
    }
    log
}

/// Which events count, by the definition: the first copy of each message, unless it is late.
fn accepted(spec: &Spec, log: &[(i64, FoldEvent)]) -> Vec<bool> {
    let mut seen = HashSet::new();
    log.iter()
        .map(|(clock, event)| {
            let first = seen.insert((event.visitor, event.message));
            first && event.ts.min(event.own_ts) >= clock - spec.horizon_ms
        })
        .collect()
}

fn as_map(counts: Vec<(u16, Counts)>) -> BTreeMap<u16, Counts> {
    counts.into_iter().collect()
}

fn values() -> Values {
    let breakdown = funnel::plan::Breakdown { by: "channel".into(), values: vec!["email".into()] };
    Values::new(&[breakdown])
}

fn check(steps: usize, records: &[Record]) -> Result<(), TestCaseError> {
    let spec = spec(steps);
    let log = log_of(records, steps);
    let accepted = accepted(&spec, &log);
    let mut fold = Fold::new(spec.clone(), values(), T0);
    let mut counted = Vec::new();
    for (offset, (clock, event)) in log.iter().enumerate() {
        let mut end = fold.open_minute_end_ms();
        while end <= *clock {
            prop_assert_eq!(
                as_map(fold.counts_at(end)),
                model::counts(&spec, &counted, end),
                "minute end {}",
                end
            );
            end += MINUTE_MS;
        }
        fold.advance(*clock);
        let verdict = fold.fold(event, offset as u64);
        prop_assert_eq!(verdict == Folded::Counted, accepted[offset], "offset {}: {:?}", offset, verdict);
        if accepted[offset] {
            counted.push(*event);
        }
        let open_end = fold.open_minute_end_ms();
        let live = as_map(fold.counts_at(open_end));
        prop_assert_eq!(live, model::counts(&spec, &counted, open_end), "live after offset {}", offset);
    }
    let last_end = fold.open_minute_end_ms();
    for minutes in [1, 7, 31, 95] {
        let end = last_end + minutes * MINUTE_MS;
        prop_assert_eq!(
            as_map(fold.counts_at(end)),
            model::counts(&spec, &counted, end),
            "idle until {}",
            end
        );
    }
    prop_assert_eq!(as_map(fold.counts_at(last_end)), model::counts(&spec, &counted, last_end), "back again");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn counts_equal_the_definition_at_every_minute(steps in 2..5usize, records in prop::collection::vec(record(), 1..40)) {
        check(steps, &records)?;
    }

    #[test]
    fn a_restart_from_journeys_changes_nothing(
        steps in 2..5usize,
        records in prop::collection::vec(record(), 2..40),
        cut in 0.0..1.0f64,
        ahead in 0.0..1.0f64,
    ) {
        restart(steps, &records, cut, ahead)?;
    }

    #[test]
    fn a_build_from_raw_equals_the_definition_over_distinct_events(
        steps in 2..5usize,
        records in prop::collection::vec(record(), 1..40),
    ) {
        build(steps, &records)?;
    }

    #[test]
    fn an_erased_visitor_was_never_there(
        steps in 2..5usize,
        records in prop::collection::vec(record(), 1..40),
        at in 0.0..1.0f64,
        taken_at in 0.0..1.0f64,
    ) {
        erase(steps, &records, at, taken_at)?;
    }
}

/// Visitor 1 is erased after a part of the log, and so not folded from then on; journeys are stored once on the way.
fn erase(steps: usize, records: &[Record], at: f64, taken_at: f64) -> Result<(), TestCaseError> {
    const ERASED: u128 = 1;
    let spec = spec(steps);
    let log = log_of(records, steps);
    let (at, taken_at) = ((at * log.len() as f64) as usize, (taken_at * log.len() as f64) as usize);
    let (mut fold, mut others) =
        (Fold::new(spec.clone(), values(), T0), Fold::new(spec.clone(), values(), T0));
    for (offset, (clock, event)) in log.iter().enumerate() {
        if offset == at {
            let visitors = fold.visitors();
            let was_there = fold.erase(ERASED);
            prop_assert_eq!(fold.visitors(), visitors - usize::from(was_there));
            prop_assert!(!fold.erase(ERASED), "there is nothing left to erase");
        }
        fold.advance(*clock);
        others.advance(*clock);
        if event.visitor != ERASED {
            others.fold(event, offset as u64);
        }
        if event.visitor != ERASED || offset < at {
            fold.fold(event, offset as u64);
        }
        if offset == taken_at {
            fold.take_changed(usize::MAX);
        }
        // At every minute of the longest window and beyond it: nothing of the visitor is left in any cell.
        let end = fold.open_minute_end_ms();
        for minutes in if offset >= at { vec![0, 4, 25, 31, 95] } else { vec![] } {
            let end = end + minutes * MINUTE_MS;
            prop_assert_eq!(
                fold.counts_at(end),
                others.counts_at(end),
                "{} minutes after {}",
                minutes,
                offset
            );
        }
    }
    if at < log.len() {
        let changed = fold.take_changed(usize::MAX);
        prop_assert!(changed.iter().all(|(visitor, _)| *visitor != ERASED));
        prop_assert_eq!(fold.visitors(), others.visitors());
    }
    Ok(())
}

/// Progress is at `cut`; some journeys were stored later, as a flush that was cut off leaves them.
fn restart(steps: usize, records: &[Record], cut: f64, ahead: f64) -> Result<(), TestCaseError> {
    let spec = spec(steps);
    let log = log_of(records, steps);
    let cut = (cut * log.len() as f64) as usize;
    let marker = cut + (ahead * (log.len() - cut) as f64) as usize;
    let mut first = Fold::new(spec.clone(), values(), T0);
    let mut stored: BTreeMap<u128, (Vec<u8>, u64)> = BTreeMap::new();
    let mut clock_at_cut = T0;
    for (offset, (clock, event)) in log.iter().enumerate().take(marker) {
        if offset == cut {
            clock_at_cut = first.clock_ms();
            stored.extend(
                first.take_changed(usize::MAX).into_iter().map(|(v, state)| (v, (state, cut as u64))),
            );
        }
        first.advance(*clock);
        first.fold(event, offset as u64);
    }
    if marker == cut {
        clock_at_cut = first.clock_ms();
        stored.extend(first.take_changed(usize::MAX).into_iter().map(|(v, state)| (v, (state, cut as u64))));
    }
    // The half of the flush up to the marker that was written.
    let later = first.take_changed(usize::MAX);
    let half = later.len().div_ceil(2);
    stored.extend(later.into_iter().take(half).map(|(v, state)| (v, (state, marker as u64))));

    let mut second = Fold::new(spec.clone(), values(), clock_at_cut);
    for (visitor, (state, folded_to)) in &stored {
        second.restore(*visitor, state, *folded_to, cut as u64).unwrap();
    }
    let mut whole = Fold::new(spec, values(), T0);
    for (offset, (clock, event)) in log.iter().enumerate() {
        whole.advance(*clock);
        whole.fold(event, offset as u64);
        if offset >= cut {
            if offset == marker {
                second.caught_up();
            }
            second.advance(*clock);
            second.fold(event, offset as u64);
        }
        if offset >= marker {
            let end = whole.open_minute_end_ms();
            prop_assert_eq!(second.counts_at(end), whole.counts_at(end), "after offset {}", offset);
        }
    }
    Ok(())
}

fn build(steps: usize, records: &[Record]) -> Result<(), TestCaseError> {
    let spec = spec(steps);
    let log = log_of(records, steps);
    let mut seen = HashSet::new();
    let mut distinct: Vec<FoldEvent> = log
        .iter()
        .map(|(_, event)| *event)
        .filter(|event| seen.insert((event.visitor, event.message)))
        .collect();
    distinct.sort_by_key(|event| event.ts);
    let start = distinct.first().map_or(T0, |event| event.ts);
    let mut fold = Fold::new(spec.clone(), values(), start);
    for (index, event) in distinct.iter().enumerate() {
        let mut end = fold.open_minute_end_ms();
        while end <= event.ts {
            prop_assert_eq!(as_map(fold.counts_at(end)), model::counts(&spec, &distinct[..index], end));
            end += MINUTE_MS;
        }
        fold.fold_raw(event);
    }
    let clock = log.last().map_or(T0, |(clock, _)| *clock);
    fold.advance(clock);
    let end = fold.open_minute_end_ms();
    prop_assert_eq!(as_map(fold.counts_at(end)), model::counts(&spec, &distinct, end));
    Ok(())
}
