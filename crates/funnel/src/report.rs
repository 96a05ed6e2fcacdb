//! A funnel over the events of any span: all of them are folded in time order, and one window, the span, counts them.

use crate::counts::Counts;
use crate::fold::{Fold, Spec};
use crate::intake::{Incoming, matched};
use crate::plan::{CompiledFunnel, Funnel};
use crate::values::Values;
use crate::windows::MINUTE_MS;

/// Events of one visitor that are looked at together.
const MAX_TAIL_EVENTS: usize = 64;

/// A funnel that is being computed over a span.
pub struct Report {
    compiled: CompiledFunnel,
    fold: Fold,
    breakdowns: Vec<String>,
    end_ms: i64,
}

impl Report {
    /// Over `[from_ms, to_ms)`.
    pub fn new(funnel: &Funnel, from_ms: i64, to_ms: i64) -> Self {
        let end_ms =
            to_ms.div_euclid(MINUTE_MS) * MINUTE_MS + if to_ms % MINUTE_MS == 0 { 0 } else { MINUTE_MS };
        let start_ms = from_ms.div_euclid(MINUTE_MS) * MINUTE_MS;
        let spec = Spec {
            steps: funnel.steps.len(),
            conversion_window_ms: funnel.conversion_window.ms,
            rolling_windows_ms: vec![end_ms - start_ms],
            // Events come in time order: a journey need not be folded again.
            horizon_ms: 0,
            // Those of one time; of more only what differs.
            max_tail_events: MAX_TAIL_EVENTS,
        };
        Self {
            compiled: CompiledFunnel::new(funnel),
            fold: Fold::new(spec, Values::new(&funnel.breakdowns), from_ms),
            breakdowns: funnel.breakdowns.iter().map(|breakdown| breakdown.by.clone()).collect(),
            end_ms,
        }
    }

    /// Takes the next event; they come distinct and in time order, all within the span.
    pub fn push(&mut self, event: &Incoming<'_>) {
        if let Some(event) = matched(&self.compiled, &mut self.fold, event) {
            self.fold.fold_raw(&event);
        }
    }

    /// How many visitors it holds in memory.
    pub fn visitors(&self) -> usize {
        self.fold.visitors()
    }

    /// The counts of everybody, those of each value of a breakdown, and whether some values of it count as `other`.
    pub fn finish(mut self, breakdown: Option<&str>) -> (Counts, Vec<(String, Counts)>, bool) {
        let mut counts = self.fold.counts_at(self.end_ms).into_iter();
        let everybody = counts.next().map(|(_, counts)| counts).unwrap_or_default();
        let values = self.fold.values();
        let wanted = |id| {
            let (index, value) = values.get(id)?;
            (breakdown == self.breakdowns.get(index).map(String::as_str)).then(|| value.to_owned())
        };
        let by_value = counts.filter_map(|(id, counts)| Some((wanted(id)?, counts))).collect();
        let asked = self.breakdowns.iter().position(|by| Some(by.as_str()) == breakdown);
        (everybody, by_value, asked.is_some_and(|asked| values.truncated(asked)))
    }
}
