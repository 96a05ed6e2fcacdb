//! How a partition is asked to end. Its thread, its writer and its builds hold a [`Stop`]; whoever runs it asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use runtime::Shutdown;

/// What a partition does before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Ending {
    /// Takes the rest of the log (for a bounded time) and flushes: nobody else serves it soon.
    Drain = 1,
    /// Flushes what it has: another process goes on from there.
    Flush = 2,
    /// Nothing: another process may serve it already.
    Abandon = 3,
}

/// The wish that a partition ends, and how. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    asked: Shutdown,
    ending: Arc<AtomicU8>,
}

impl Stop {
    /// Asks for it. Asked again, the more hurried ending counts.
    pub(crate) fn ask(&self, ending: Ending) {
        self.ending.fetch_max(ending as u8, Ordering::AcqRel);
        self.asked.request();
    }

    /// The ending that was asked for, if any was.
    pub(crate) fn ending(&self) -> Option<Ending> {
        [Ending::Drain, Ending::Flush, Ending::Abandon]
            .into_iter()
            .find(|ending| *ending as u8 == self.ending.load(Ordering::Acquire))
    }

    /// The wish alone.
    pub(crate) fn asked(&self) -> &Shutdown {
        &self.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_hurried_ending_counts() {
        let stop = Stop::default();
        assert_eq!((stop.ending(), stop.asked().is_requested()), (None, false));
        stop.ask(Ending::Flush);
        stop.ask(Ending::Drain);
        assert_eq!((stop.ending(), stop.asked().is_requested()), (Some(Ending::Flush), true));
        stop.ask(Ending::Abandon);
        assert_eq!(stop.ending(), Some(Ending::Abandon));
    }
}
