//! What a run is like: how many of each part there are, and which faults strike how often. Each run draws its own, with
//! some faults left out entirely, so that rare combinations come up that an even mixture would not show.

use crate::fate::Fate;
use crate::plans::T0;
use crate::rules::Rule;

/// Floors lie so far behind the first plan's generation, at most: some are larger than all that follows.
const FLOORS_MS: u64 = 600_000;

/// Which log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// Many processes; offsets with gaps, a clock that steps, calls that are stored in part; keeps everything.
    Kafka,
    /// One process; removes what was released.
    Local,
}

/// A run's circumstances.
#[derive(Debug, Clone)]
pub struct Weather {
    pub log: LogKind,
    /// Which log of the warehouse it is: before the first one there is nothing to build funnels from.
    pub epoch: u32,
    /// What its generations begin with, where a log before it left numbers under the same plan; 0 where none did.
    pub generation_floor: u64,
    pub partitions: u32,
    pub collectors: usize,
    pub members: usize,
    pub steps: u64,
    /// Attempts of inserts that are refused, applied in part, or not answered.
    pub bad_inserts: u64,
    /// Reads of the warehouse that fail.
    pub bad_reads: u64,
    /// Polls that a read of the warehouse takes.
    pub read_turns: u64,
    /// Reads of the log that fail.
    pub bad_log_reads: u64,
    /// Calls to the log that fail, in whole or in part.
    pub bad_publishes: u64,
    /// Clocks that step.
    pub clock_steps: u64,
    /// Events that were sent before.
    pub copies: u64,
    /// Events that no build can fold.
    pub poison: u64,
    /// How often processes crash and partitions change hands, relative to everything else.
    pub unrest: u64,
    /// How often plans and imports come.
    pub changes: u64,
    /// Journeys that a flush step writes, at most.
    pub journeys_batch_rows: usize,
}

impl Weather {
    /// A run's.
    pub fn draw(fate: &Fate) -> Self {
        let log = if fate.percent(70) { LogKind::Kafka } else { LogKind::Local };
        let some = |most: u64| if fate.percent(50) { fate.below(most + 1) } else { 0 };
        let epoch = *fate.pick(&[1, 2]);
        let floor = || T0.cast_unsigned() + 1 + fate.below(FLOORS_MS);
        Self {
            log,
            epoch,
            generation_floor: if epoch > 1 && fate.percent(50) { floor() } else { 0 },
            partitions: 1 + fate.below(3) as u32,
            collectors: if log == LogKind::Local { 1 } else { 1 + fate.below(2) as usize },
            members: if log == LogKind::Local { 1 } else { *fate.pick(&[1, 2, 2, 3]) },
            steps: 100 + fate.below(500),
            bad_inserts: some(30),
            bad_reads: some(10),
            read_turns: *fate.pick(&[1, 4, 20]),
            bad_log_reads: some(10),
            bad_publishes: some(25),
            clock_steps: some(3),
            copies: some(30),
            poison: some(10),
            unrest: some(10),
            changes: some(2),
            journeys_batch_rows: *fate.pick(&[1, 2, 1_000]),
        }
    }

    /// The floor that counts when a rule is left out.
    pub fn floor_without(&self, left_out: Option<Rule>) -> u64 {
        if left_out == Some(Rule::GenerationFloor) { 0 } else { self.generation_floor }
    }
}
