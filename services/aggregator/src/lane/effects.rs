//! What a lane asks of its surroundings: it does no I/O itself.

use std::sync::Arc;

use funnel::plan::Funnel;
use warehouse::rows::RollingRow;

use crate::funnel_lane::version_of_repair;
use crate::store::{ROWS_PER_WRITE, Write, in_pieces};

/// A build that the lane wants done: the funnel as of everything before `cutoff`.
#[derive(Debug, Clone)]
pub struct BuildOrder {
    pub funnel: Arc<Funnel>,
    pub generation: u64,
    /// The first offset that the build does not take from the raw events.
    pub cutoff: u64,
    /// The partition's clock there.
    pub clock_ms: i64,
    /// Its progress has at least this version ([`BuildOrder::repairing`]).
    pub least_version: u64,
}

impl BuildOrder {
    /// The same build where journeys may be stored already. Its progress has versions of its own, above those of a build that
    /// finds none and above `replaced`, the version of the progress that it takes the place of: else a restart in the middle
    /// would find that generation complete, without its journeys, or not know that some are to be removed. Only then:
    /// whoever removes journeys must not meet another writer of the same build, as there may be after a rebalance.
    pub fn repairing(self, replaced: u64) -> Self {
        let least_version = version_of_repair(self.cutoff).max(replaced + 1).max(self.least_version);
        Self { least_version, ..self }
    }

    /// Whether journeys of the generation may be stored in this partition that are of no use: they are removed first.
    pub fn repairs(&self) -> bool {
        self.least_version >= version_of_repair(self.cutoff)
    }

    /// Whether it builds this funnel.
    pub fn is_of(&self, site: &str, id: &str) -> bool {
        self.funnel.site == site && self.funnel.id == id
    }

    /// Whether the two order the same build: one funnel, and the same generation as of the same cut-off.
    pub fn is(&self, other: &Self) -> bool {
        (self.generation, self.cutoff) == (other.generation, other.cutoff)
            && self.is_of(&other.funnel.site, &other.funnel.id)
    }
}

/// What the lane asks of its surroundings.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be executed in this order.
    pub writes: Vec<Write>,
    /// To be started once all writes so far are stored.
    pub builds: Vec<BuildOrder>,
    /// Records that nobody can take, to be shown to people.
    pub refused: Vec<Refused>,
}

/// A record of the log that is not taken. It moves the partition's clock and position like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub offset: u64,
    /// A code: `not_a_record`, `not_a_control_record`, or what is wrong with the event.
    pub reason: &'static str,
}

impl Effects {
    /// Minute rows, in inserts of a bounded size.
    pub fn rolling(&mut self, rows: Vec<RollingRow>) {
        self.writes.extend(in_pieces(rows, ROWS_PER_WRITE).map(Write::Rolling));
    }
}
