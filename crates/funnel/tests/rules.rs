//! Rules that random streams hardly reach: what is late, what is a duplicate, and that neither depends on when a journey
//! was last looked at.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use funnel::fold::{Fold, FoldEvent, Folded, Spec};
use funnel::values::Values;
use funnel::windows::MINUTE_MS;

const T0: i64 = 1_700_000_040_000;
const HORIZON_MS: i64 = 60 * MINUTE_MS;

fn fold() -> Fold {
    let spec = Spec {
        steps: 2,
        conversion_window_ms: 3 * HORIZON_MS,
        rolling_windows_ms: vec![24 * HORIZON_MS],
        horizon_ms: HORIZON_MS,
        max_tail_events: 4,
    };
    Fold::new(spec, Values::new(&[]), T0)
}

fn event(message: u64, ts: i64, own_ts: i64) -> FoldEvent {
    FoldEvent { visitor: 1, message, ts, own_ts, matches: 1, values: [0; 4] }
}

/// Appended at `clock_ms`.
fn take(fold: &mut Fold, clock_ms: i64, event: FoldEvent) -> Folded {
    fold.advance(clock_ms);
    fold.fold(&event, 0)
}

#[test]
fn a_message_is_a_duplicate_by_its_age_and_not_by_what_the_tail_still_holds() {
    let after = T0 + HORIZON_MS + 2;
    let stamped_anew = event(7, after, after);
    let (mut untouched, mut touched) = (fold(), fold());
    for fold in [&mut untouched, &mut touched] {
        assert_eq!(take(fold, T0, event(7, T0, T0)), Folded::Counted);
        assert_eq!(take(fold, T0 + HORIZON_MS, event(7, T0, T0)), Folded::Duplicate);
    }
    // Another event of the visitor, past the horizon of the first, moves the first out of the tail.
    assert_eq!(take(&mut touched, after - 1, event(8, after - 1, after - 1)), Folded::Counted);
    assert_eq!(take(&mut touched, after, stamped_anew), Folded::Counted);
    assert_eq!(take(&mut untouched, after, stamped_anew), Folded::Counted);
}

#[test]
fn an_event_is_late_by_its_corrected_time_or_by_its_own() {
    let clock = T0 + 2 * HORIZON_MS;
    let (old, young) = (clock - HORIZON_MS - 1, clock - HORIZON_MS);
    assert_eq!(take(&mut fold(), clock, event(1, young, young)), Folded::Counted);
    assert_eq!(take(&mut fold(), clock, event(1, old, young)), Folded::Late);
    assert_eq!(take(&mut fold(), clock, event(1, young, old)), Folded::Late);
}

#[test]
fn a_copy_of_a_late_event_that_is_corrected_otherwise_is_a_duplicate() {
    let (mut fold, clock) = (fold(), T0 + 2 * HORIZON_MS);
    assert_eq!(take(&mut fold, clock, event(1, clock - HORIZON_MS - 1, clock)), Folded::Late);
    assert_eq!(take(&mut fold, clock, event(1, clock, clock)), Folded::Duplicate);
}

#[test]
fn a_client_clock_that_is_ahead_keeps_its_messages_remembered_after_they_left_the_tail() {
    let (mut fold, ahead) = (fold(), T0 + 3 * HORIZON_MS);
    assert_eq!(take(&mut fold, T0, event(1, T0, ahead)), Folded::Counted);
    let later = T0 + 2 * HORIZON_MS;
    assert_eq!(take(&mut fold, later, event(2, later, later)), Folded::Counted);
    assert_eq!(take(&mut fold, later, event(1, later, ahead)), Folded::Duplicate);
}

#[test]
fn a_full_tail_refuses_events_until_some_are_older_than_the_horizon() {
    let mut fold = fold();
    for message in 0..4 {
        assert_eq!(take(&mut fold, T0, event(message, T0, T0)), Folded::Counted);
    }
    assert_eq!(take(&mut fold, T0, event(9, T0, T0)), Folded::TailFull);
    let later = T0 + HORIZON_MS + 1;
    assert_eq!(take(&mut fold, later, event(9, later, later)), Folded::Counted);
}

#[test]
fn visitors_whom_nothing_can_count_are_forgotten_and_the_numbers_stay() {
    let mut fold = fold();
    take(&mut fold, T0, event(1, T0, T0));
    fold.take_changed(usize::MAX);
    let recent = T0 + 80 * HORIZON_MS;
    take(&mut fold, recent, FoldEvent { visitor: 2, ..event(2, recent, recent) });
    let end_ms = fold.open_minute_end_ms();
    let before = fold.counts_at(end_ms);
    assert_eq!((fold.forget_idle(), fold.visitors()), (1, 1));
    assert_eq!(fold.counts_at(end_ms), before);
}

#[test]
fn a_build_settles_a_visitor_with_too_many_events_who_is_judged_again_once_they_are_old() {
    let (mut fold, mut exact) = (fold(), fold());
    for n in 0..50 {
        let event = FoldEvent { matches: 1 + (n as u32 % 2), ..event(n as u64, T0 + n, T0 + n) };
        fold.fold_raw(&event);
        let spec = Spec { max_tail_events: 1_000, ..exact.spec().clone() };
        if n == 0 {
            exact = Fold::new(spec, Values::new(&[]), T0);
        }
        exact.fold_raw(&event);
    }
    let end_ms = fold.open_minute_end_ms();
    assert_eq!(fold.counts_at(end_ms), exact.counts_at(end_ms));
    assert_eq!(take(&mut fold, T0 + 60, event(3, T0 + 3, T0 + 3)), Folded::TailFull, "a copy");
    assert_eq!(take(&mut fold, T0 + 60, event(99, T0 + 60, T0 + 60)), Folded::TailFull, "a new one");
    let later = T0 + 60 + HORIZON_MS;
    assert_eq!(take(&mut fold, later, event(100, later, later)), Folded::Counted);
}

/// As an import with days for times brings them.
#[test]
fn of_many_events_of_one_time_a_build_keeps_those_that_differ() {
    let mut fold = fold();
    let spec = Spec { max_tail_events: 1_000, ..fold.spec().clone() };
    let mut exact = Fold::new(spec, Values::new(&[]), T0);
    for n in 0..300 {
        let ts = T0 + n / 100 * 1_000;
        let own_ts = ts + n % 7;
        let event = FoldEvent { matches: 1 + (n as u32 % 3), own_ts, ..event(n as u64, ts, ts) };
        fold.fold_raw(&event);
        exact.fold_raw(&event);
        let (end_ms, changed) = (fold.open_minute_end_ms(), fold.take_changed(1));
        assert_eq!(fold.counts_at(end_ms), exact.counts_at(end_ms), "after {n}");
        assert!(changed[0].1.len() < 600, "{} bytes after {n}", changed[0].1.len());
    }
    let clock = T0 + 2_000;
    assert_eq!(
        take(&mut fold, clock, event(7, T0, T0)),
        Folded::TailFull,
        "a copy of one that is not remembered"
    );
    let later = clock + 7 + HORIZON_MS;
    assert_eq!(take(&mut fold, later, event(1_000, later, later)), Folded::Counted);
}

#[test]
fn windows_that_run_ahead_for_a_moment_come_back_with_all_they_counted() {
    let mut fold = fold();
    take(&mut fold, T0, event(1, T0, T0));
    let end_ms = fold.open_minute_end_ms();
    let before = fold.counts_at(end_ms);
    fold.counts_at(end_ms + 90 * 86_400_000);
    assert_eq!(fold.counts_at(end_ms), before);
}
