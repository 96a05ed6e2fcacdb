//! The numbers of generations: every control record that makes aggregators build something anew carries one, and a larger
//! one replaces a smaller one. A process has one [`Generations`] for all that it begins.

use std::sync::atomic::{AtomicU64, Ordering};

/// Gives out generations: UTC milliseconds, made larger than any before.
#[derive(Debug, Default)]
pub struct Generations {
    last: AtomicU64,
}

impl Generations {
    /// Goes on after `last`, the largest one that was ever given out, also when the machine's clock was set back.
    pub fn after(last: u64) -> Self {
        Self { last: AtomicU64::new(last) }
    }

    /// The larger one of now and the last one plus 1.
    pub fn next(&self, now_ms: i64) -> u64 {
        let now = now_ms.max(0).cast_unsigned();
        let next = |last: u64| now.max(last + 1);
        let last = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_follow_the_clock_and_never_repeat() {
        let generations = Generations::default();
        assert_eq!([5, 5, 3, 100].map(|now| generations.next(now)), [5, 6, 7, 100]);
        assert_eq!(Generations::after(1_000).next(5), 1_001);
    }
}
