//! From counts to the ladder that people read: a rung per step with its ratios and durations, and the funnel's rates.
//! Pure; called by the console's API and by `rungs report`.
//!
//! Ratios are 0..1 and absent over 0. Durations are seconds, approximate to their bucket ([`crate::buckets`]).

use serde::Serialize;

use crate::buckets::{UNDER_10_SECONDS, quantile_seconds};
use crate::counts::Counts;
use crate::plan::{Commitment, Funnel, Step};

/// Whose numbers a ladder shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All visitors.
    Everybody,
    /// Those who entered with one breakdown value: skipped steps are not known for them.
    Value,
}

/// A funnel's rates and rungs in one rolling window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ladder {
    pub rates: Rates,
    pub steps: Vec<Rung>,
}

/// The funnel in four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Rates {
    /// Committed / offered over all steps of commitment `click` that name an offer.
    pub click_through: Option<f64>,
    /// Over all steps of commitment `opt_in`: committed / offered where an offer is named, else visitors of the step /
    /// visitors of the one before; numerators and denominators are summed.
    pub opt_in: Option<f64>,
    /// Second step / first step.
    pub engagement: Option<f64>,
    /// Last step / first step.
    pub micro_to_macro: Option<f64>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rung {
    pub id: String,
    pub name: String,
    pub commitment: &'static str,
    /// Visitors who reached the step.
    pub visitors: u32,
    /// Share of the previous step's visitors; absent at the first step.
    pub from_previous: Option<f64>,
    /// Share of the first step's visitors.
    pub from_first: Option<f64>,
    /// Share of this step's visitors who reached the last one.
    pub to_last: Option<f64>,
    /// Visitors of the previous step who have not taken this one; absent at the first step.
    pub drop_off: Option<u32>,
    /// Of them, those who cannot any more: drop-off less those who are open at the previous step. Within a conversion window
    /// nobody is lost yet. Absent at the first step.
    pub lost: Option<u32>,
    /// Visitors who stand here and can still go on; absent at the last step, from which there is nowhere to go.
    pub open: Option<u32>,
    /// Visitors who saw the offer; absent where the plan names none.
    pub offered: Option<u32>,
    /// Share of them who took the step; absent where the plan names no offer.
    pub ctr: Option<f64>,
    /// Visitors who took a later step without this one; absent at the last step and for a breakdown value.
    pub skipped: Option<u32>,
    /// Time from the previous step; absent at the first step.
    pub seconds: Seconds,
    /// Time from the offer to the step; absent where the plan names no offer.
    pub effort_seconds: Effort,
}

/// Quantiles of a duration, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Seconds {
    pub p50: Option<f64>,
    pub p90: Option<f64>,
}

/// How much a step asks for, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Effort {
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    /// Share that took 10 s or less: what makes a step small.
    pub share_under_10s: Option<f64>,
}

impl Ladder {
    /// The ladder of one window (its index in `counts`).
    pub fn new(funnel: &Funnel, counts: &Counts, window: usize, audience: Audience) -> Self {
        let view = View { funnel, counts, window, audience };
        Self { rates: view.rates(), steps: (0..funnel.steps.len()).map(|step| view.rung(step)).collect() }
    }
}

struct View<'a> {
    funnel: &'a Funnel,
    counts: &'a Counts,
    window: usize,
    audience: Audience,
}

impl View<'_> {
    fn step(&self, index: usize) -> Option<&Step> {
        self.funnel.steps.get(index)
    }

    fn last(&self) -> usize {
        self.funnel.steps.len().saturating_sub(1)
    }

    fn visitors(&self, step: usize) -> u32 {
        self.counts.at(&self.counts.visitors, step, self.window)
    }

    fn offered(&self, step: usize) -> u32 {
        self.counts.at(&self.counts.offered, step, self.window)
    }

    fn committed(&self, step: usize) -> u32 {
        self.counts.at(&self.counts.committed, step, self.window)
    }

    fn has_offer(&self, step: usize) -> bool {
        self.step(step).is_some_and(|step| step.offer.is_some())
    }

    fn rung(&self, index: usize) -> Rung {
        let visitors = self.visitors(index);
        let has_offer = self.has_offer(index);
        let knows_skipped = index < self.last() && self.audience == Audience::Everybody;
        Rung {
            id: self.step(index).map(|step| step.id.clone()).unwrap_or_default(),
            name: self.step(index).map(|step| step.name.clone()).unwrap_or_default(),
            commitment: self.step(index).map_or("", |step| step.commitment.as_str()),
            visitors,
            from_previous: index.checked_sub(1).and_then(|previous| share(visitors, self.visitors(previous))),
            from_first: share(visitors, self.visitors(0)),
            to_last: share(self.visitors(self.last()), visitors),
            drop_off: index.checked_sub(1).map(|previous| self.drop_off(previous)),
            lost: index
                .checked_sub(1)
                .map(|previous| self.drop_off(previous).saturating_sub(self.open(previous))),
            open: (index < self.last()).then(|| self.open(index)),
            offered: has_offer.then(|| self.offered(index)),
            ctr: if has_offer { share(self.committed(index), self.offered(index)) } else { None },
            skipped: knows_skipped.then(|| self.counts.at(&self.counts.skipped, index, self.window)),
            seconds: if index > 0 { self.seconds(index) } else { Seconds::default() },
            effort_seconds: if has_offer { self.effort(index) } else { Effort::default() },
        }
    }

    fn open(&self, step: usize) -> u32 {
        self.counts.open.get(step).copied().unwrap_or(0)
    }

    /// Between a step and the next one.
    fn drop_off(&self, step: usize) -> u32 {
        self.visitors(step).saturating_sub(self.visitors(step + 1))
    }

    fn seconds(&self, step: usize) -> Seconds {
        let cells = wide(self.counts.cells(&self.counts.seconds, step, self.window));
        Seconds { p50: quantile_seconds(&cells, 0.5), p90: quantile_seconds(&cells, 0.9) }
    }

    fn effort(&self, step: usize) -> Effort {
        let cells = wide(self.counts.cells(&self.counts.effort, step, self.window));
        let under: u64 = cells.iter().take(UNDER_10_SECONDS).sum();
        Effort {
            p50: quantile_seconds(&cells, 0.5),
            p90: quantile_seconds(&cells, 0.9),
            share_under_10s: ratio(under, cells.iter().sum()),
        }
    }

    fn rates(&self) -> Rates {
        Rates {
            click_through: self.rate(Commitment::Click, |step| self.taken_of_offered(step)),
            opt_in: self.rate(Commitment::OptIn, |step| {
                self.taken_of_offered(step).or_else(|| self.taken_of_previous(step))
            }),
            engagement: share(self.visitors(1), self.visitors(0)),
            micro_to_macro: share(self.visitors(self.last()), self.visitors(0)),
        }
    }

    /// Sums (taken, of) over the steps of a commitment.
    fn rate(&self, commitment: Commitment, parts: impl Fn(usize) -> Option<(u32, u32)>) -> Option<f64> {
        let of_kind = |step: &usize| self.step(*step).is_some_and(|step| step.commitment == commitment);
        let (taken, of) = (0..self.funnel.steps.len())
            .filter(of_kind)
            .filter_map(parts)
            .fold((0u64, 0u64), |sum, part| (sum.0 + u64::from(part.0), sum.1 + u64::from(part.1)));
        ratio(taken, of)
    }

    fn taken_of_offered(&self, step: usize) -> Option<(u32, u32)> {
        self.has_offer(step).then(|| (self.committed(step), self.offered(step)))
    }

    fn taken_of_previous(&self, step: usize) -> Option<(u32, u32)> {
        step.checked_sub(1).map(|previous| (self.visitors(step), self.visitors(previous)))
    }
}

fn wide(cells: &[u32]) -> Vec<u64> {
    cells.iter().map(|count| u64::from(*count)).collect()
}

fn share(part: u32, of: u32) -> Option<f64> {
    ratio(u64::from(part), u64::from(of))
}

fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buckets;
    use crate::plan::{Identity, Window};

    fn step(id: &str, commitment: Commitment, offer: Option<&str>) -> Step {
        Step {
            id: id.into(),
            name: id.to_uppercase(),
            events: vec![id.into()],
            filter: None,
            offer: offer.map(Into::into),
            commitment,
        }
    }

    fn funnel(steps: Vec<Step>) -> Funnel {
        let day = Window { label: "24h".into(), ms: 86_400_000 };
        Funnel {
            site: "shop".into(),
            id: "purchase".into(),
            name: "Purchase".into(),
            conversion_window: day.clone(),
            rolling_windows: vec![day],
            breakdowns: vec![],
            steps,
            identity: Identity::Ids,
        }
    }

    fn four_steps() -> Funnel {
        funnel(vec![
            step("view", Commitment::Click, Some("seen")),
            step("quiz", Commitment::Click, Some("quiz_seen")),
            step("join", Commitment::OptIn, None),
            step("buy", Commitment::Purchase, None),
        ])
    }

    fn counts() -> Counts {
        let mut counts = Counts::new(4, 1);
        counts.visitors = vec![200, 50, 20, 5];
        counts.offered = vec![400, 100, 0, 0];
        counts.committed = vec![180, 40, 0, 0];
        counts.skipped = vec![3, 2, 1, 0];
        counts.open = vec![90, 10, 4, 1];
        counts.seconds[buckets::COUNT + 5] = 50; // second step: 2 s to 5 s
        counts.effort[buckets::COUNT + 6] = 30; // 5 s to 10 s
        counts.effort[buckets::COUNT + 7] = 10; // 10 s to 20 s
        counts
    }

    #[test]
    fn rungs_tell_shares_of_the_previous_the_first_and_the_last_step() {
        let ladder = Ladder::new(&four_steps(), &counts(), 0, Audience::Everybody);
        let [first, second, third, last] = ladder.steps.as_slice() else { panic!("four rungs") };
        assert_eq!((first.from_previous, first.from_first, first.to_last), (None, Some(1.0), Some(0.025)));
        assert_eq!(
            (second.from_previous, second.from_first, second.to_last),
            (Some(0.25), Some(0.25), Some(0.1))
        );
        assert_eq!((third.offered, third.ctr), (None, None));
        assert_eq!((second.offered, second.ctr), (Some(100), Some(0.4)));
        assert_eq!(last.to_last, Some(1.0));
        assert_eq!((first.name.as_str(), first.commitment, first.open), ("VIEW", "click", Some(90)));
    }

    #[test]
    fn of_those_who_dropped_off_whoever_is_open_is_not_lost_and_nobody_is_open_at_the_top() {
        let ladder = Ladder::new(&four_steps(), &counts(), 0, Audience::Everybody);
        let told: Vec<_> = ladder.steps.iter().map(|rung| (rung.drop_off, rung.lost, rung.open)).collect();
        let expected = [
            (None, None, Some(90)),
            (Some(150), Some(60), Some(10)),
            (Some(30), Some(20), Some(4)),
            (Some(15), Some(11), None),
        ];
        assert_eq!(told, expected);
        let mut young = counts();
        young.open = vec![300, 100, 40, 9];
        let ladder = Ladder::new(&four_steps(), &young, 0, Audience::Everybody);
        assert!(ladder.steps.iter().skip(1).all(|rung| rung.lost == Some(0)), "all can still go on");
    }

    #[test]
    fn durations_start_at_the_second_step_and_effort_needs_an_offer() {
        let ladder = Ladder::new(&four_steps(), &counts(), 0, Audience::Everybody);
        assert_eq!(ladder.steps[0].seconds, Seconds::default());
        let median = ladder.steps[1].seconds.p50.unwrap();
        assert!((2.0..=5.0).contains(&median), "{median}");
        assert_eq!(ladder.steps[1].effort_seconds.share_under_10s, Some(0.75));
        assert_eq!(ladder.steps[0].effort_seconds.share_under_10s, None, "an offer, but nobody took it yet");
        assert_eq!(ladder.steps[2].effort_seconds, Effort::default());
    }

    #[test]
    fn rates_sum_their_parts() {
        let rates = Ladder::new(&four_steps(), &counts(), 0, Audience::Everybody).rates;
        assert_eq!(rates.click_through, Some(220.0 / 500.0));
        assert_eq!(rates.opt_in, Some(0.4), "no offer: of the previous step's visitors");
        assert_eq!((rates.engagement, rates.micro_to_macro), (Some(0.25), Some(0.025)));
    }

    #[test]
    fn opt_ins_with_and_without_an_offer_are_one_rate() {
        let mut mixed = four_steps();
        mixed.steps[1] = step("lead", Commitment::OptIn, Some("form"));
        let rates = Ladder::new(&mixed, &counts(), 0, Audience::Everybody).rates;
        assert_eq!(rates.opt_in, Some((40.0 + 20.0) / (100.0 + 50.0)));
        let entry =
            funnel(vec![step("join", Commitment::OptIn, None), step("buy", Commitment::Purchase, None)]);
        let rates = Ladder::new(&entry, &Counts::new(2, 1), 0, Audience::Everybody).rates;
        assert_eq!(rates, Rates::default(), "an entry has no previous step, and there is nobody");
    }

    #[test]
    fn skipped_is_absent_at_the_last_step_and_for_breakdown_values() {
        let everybody = Ladder::new(&four_steps(), &counts(), 0, Audience::Everybody);
        let skipped: Vec<_> = everybody.steps.iter().map(|rung| rung.skipped).collect();
        assert_eq!(skipped, [Some(3), Some(2), Some(1), None]);
        let value = Ladder::new(&four_steps(), &counts(), 0, Audience::Value);
        assert!(value.steps.iter().all(|rung| rung.skipped.is_none()));
    }

    #[test]
    fn over_nobody_every_ratio_is_absent() {
        let ladder = Ladder::new(&four_steps(), &Counts::new(4, 1), 0, Audience::Everybody);
        for rung in &ladder.steps {
            assert_eq!(
                (rung.from_previous, rung.from_first, rung.to_last, rung.ctr),
                (None, None, None, None)
            );
            assert_eq!(rung.visitors, 0);
        }
    }
}
