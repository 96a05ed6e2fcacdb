//! A bucket as an instant (the generic cell rate algorithm): kept is only when it will be full again, in one atomic
//! number, so that threads share it without a lock.
//!
//! What is asked for is given as long as one is in the bucket, also where that is less: the rest is owed, and nothing is
//! given until it was paid back. A batch that is larger than the burst is thereby taken like any other; refused for ever,
//! it would never be delivered, because clients repeat batches as they are. No more is owed than one burst: whoever has
//! a write key, which is public, could otherwise shut a site for hours with one batch.

use std::sync::atomic::{AtomicU64, Ordering};

use funnel::plan::Rate;

const SECOND_NS: u128 = 1_000_000_000;

/// How fast a bucket is filled. Times are nanoseconds of a clock that starts near 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) per_second: u64,
    /// Until one more is in it.
    one_ns: u64,
    /// From empty to full.
    full_ns: u64,
}

impl Pace {
    pub(super) fn of(rate: Rate) -> Self {
        let Rate { per_second, burst } = rate;
        Self { per_second, one_ns: nanoseconds(1, per_second), full_ns: nanoseconds(burst, per_second) }
    }

    /// How long the rate takes for an amount.
    pub(super) fn ns_of(self, amount: u64) -> u64 {
        nanoseconds(amount, self.per_second)
    }

    /// What half a burst is, one at least.
    pub(super) fn half_burst(self) -> u64 {
        let burst = u128::from(self.full_ns) * u128::from(self.per_second) / SECOND_NS;
        u64::try_from(burst / 2).unwrap_or(u64::MAX).max(1)
    }

    /// How long nothing is given by a bucket that is full at `full_at`; 0 if there is one in it.
    pub(super) fn wait_ns(self, full_at: u64, now: u64) -> u64 {
        full_at.saturating_add(self.one_ns).saturating_sub(now.saturating_add(self.full_ns))
    }

    /// How long until `amount`, or half a burst where that is less, is in it.
    pub(super) fn wait_for_ns(self, amount: u64, full_at: u64, now: u64) -> u64 {
        let needed_ns = nanoseconds(amount, self.per_second).min((self.full_ns / 2).max(self.one_ns));
        full_at.saturating_add(needed_ns).saturating_sub(now.saturating_add(self.full_ns))
    }

    /// When it will be full again after `amount` was taken out; no more is owed than what fills it once.
    pub(super) fn full_after(self, full_at: u64, now: u64, amount: u64) -> u64 {
        let full_at = full_at.max(now);
        let most = now.saturating_add(self.full_ns).saturating_add(self.full_ns);
        full_at.saturating_add(nanoseconds(amount, self.per_second)).min(most).max(full_at)
    }
}

/// How long a rate takes for an amount, rounded up.
fn nanoseconds(amount: u64, per_second: u64) -> u64 {
    let ns = (u128::from(amount) * SECOND_NS).div_ceil(u128::from(per_second.max(1)));
    u64::try_from(ns).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

/// A bucket that threads share.
#[derive(Debug)]
pub(super) struct Bucket {
    pace: Pace,
    full_at: AtomicU64,
}

impl Bucket {
    pub(super) fn of(rate: Rate) -> Self {
        Self { pace: Pace::of(rate), full_at: AtomicU64::new(0) }
    }

    /// As [`Pace::wait_ns`].
    pub(super) fn wait_ns(&self, now: u64) -> u64 {
        self.pace.wait_ns(self.full_at.load(Ordering::Relaxed), now)
    }

    /// As [`Pace::wait_for_ns`].
    pub(super) fn wait_for_ns(&self, amount: u64, now: u64) -> u64 {
        self.pace.wait_for_ns(amount, self.full_at.load(Ordering::Relaxed), now)
    }

    /// Takes out, also what is not in it, and tells how many nanoseconds later it will be full for it.
    pub(super) fn take(&self, amount: u64, now: u64) -> u64 {
        let after = |full_at| Some(self.pace.full_after(full_at, now, amount));
        // The closure never refuses.
        let before = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        let before = before.unwrap_or_else(|before| before);
        self.pace.full_after(before, now, amount) - before.max(now)
    }

    /// Puts back what [`take`](Self::take) told. What was paid back meanwhile is not put in twice: full is full.
    pub(super) fn give_back(&self, taken_ns: u64) {
        let after = |full_at: u64| Some(full_at.saturating_sub(taken_ns));
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
    }

    /// How much of the burst is used: 0 is full, 1 is empty.
    pub(super) fn used(&self, now: u64) -> f64 {
        let missing_ns = self.full_at.load(Ordering::Relaxed).saturating_sub(now);
        (missing_ns as f64 / self.pace.full_ns.max(1) as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A bucket as one imagines it, in billionths of a unit.
    struct Tokens {
        rate: Rate,
        tokens: i128,
        at: u64,
    }

    impl Tokens {
        fn take(&mut self, amount: u64, now: u64) -> bool {
            let gained = i128::from(now - self.at) * i128::from(self.rate.per_second);
            self.tokens = (self.tokens + gained).min(i128::from(self.rate.burst) * SECOND_NS as i128);
            self.at = now;
            let given = self.tokens >= SECOND_NS as i128;
            if given {
                let least = -i128::from(self.rate.burst) * SECOND_NS as i128;
                self.tokens = (self.tokens - i128::from(amount) * SECOND_NS as i128).max(least);
            }
            given
        }
    }

    /// Rates of which a unit takes whole nanoseconds, so that nothing is rounded.
    fn rates() -> impl Strategy<Value = Rate> {
        let rates = prop::sample::select(vec![1_u64, 2, 5, 10, 64, 1_000, 1_000_000]);
        (rates, 1_u64..500).prop_map(|(per_second, burst)| Rate { per_second, burst })
    }

    proptest! {
        #[test]
        fn it_gives_what_a_bucket_of_tokens_gives(
            rate in rates(), asked in prop::collection::vec((0_u64..3_000_000_000, 1_u64..700), 1..80),
        ) {
            let mut model = Tokens { rate, tokens: i128::from(rate.burst) * SECOND_NS as i128, at: 0 };
            let (bucket, mut now) = (Bucket::of(rate), 0);
            for (after, amount) in asked {
                now += after;
                let wait = bucket.wait_ns(now);
                prop_assert_eq!(wait == 0, model.take(amount, now), "at {}", now);
                if wait > 0 {
                    prop_assert!(bucket.wait_ns(now + wait - 1) > 0 && bucket.wait_ns(now + wait) == 0);
                } else {
                    bucket.take(amount, now);
                }
                prop_assert!((0.0..=1.0).contains(&bucket.used(now)));
            }
        }

        #[test]
        fn in_the_long_run_no_more_than_the_rate_comes_through(
            per_second in 1_u64..5_000, burst in 1_u64..500, asked in prop::collection::vec((0_u64..900_000_000, 1_u64..500), 1..80),
        ) {
            let bucket = Bucket::of(Rate { per_second, burst });
            let (mut now, mut given) = (0, 0);
            for (after, amount) in asked {
                now += after;
                // Of what is larger than the burst, the burst is counted.
                let amount = amount.min(burst);
                if bucket.wait_ns(now) == 0 {
                    bucket.take(amount, now);
                    given += amount;
                }
            }
            let allowed = u128::from(burst) * SECOND_NS + u128::from(now) * u128::from(per_second);
            // The last batch may be owed.
            prop_assert!(u128::from(given) * SECOND_NS <= allowed + u128::from(burst) * SECOND_NS);
        }

        #[test]
        fn what_is_given_back_was_never_taken(
            rate in rates(), asked in prop::collection::vec((0_u64..2_000_000_000, 1_u64..700, any::<bool>()), 1..60),
        ) {
            let (with, without, mut now) = (Bucket::of(rate), Bucket::of(rate), 0);
            for (after, amount, stays) in asked {
                now += after;
                if stays {
                    with.take(amount, now);
                    without.take(amount, now);
                } else {
                    let taken = with.take(amount, now);
                    with.give_back(taken);
                }
                prop_assert_eq!(with.wait_ns(now), without.wait_ns(now));
            }
        }

        #[test]
        fn whoever_waits_for_more_leaves_the_first_ones_to_others(rate in rates(), asked in 1_u64..700, amount in 1_u64..700) {
            let bucket = Bucket::of(rate);
            bucket.take(asked, 0);
            let wait = bucket.wait_for_ns(amount, 0);
            prop_assert!(wait >= bucket.wait_ns(0));
            prop_assert!(bucket.wait_for_ns(amount, wait) == 0 && (wait == 0 || bucket.wait_for_ns(amount, wait - 1) > 0));
            // Nobody waits for more than half a burst and what is owed at most, a burst.
            prop_assert!(u128::from(wait) * u128::from(rate.per_second) <= (2 * u128::from(rate.burst) + 1) * SECOND_NS);
        }
    }

    #[test]
    fn one_batch_shuts_nobody_out_for_longer_than_two_bursts_take() {
        let bucket = Bucket::of(Rate { per_second: 10, burst: 100 });
        bucket.take(1_000_000, 0);
        assert_eq!(bucket.wait_ns(0), 10_100_000_000, "a burst of 10 s is owed, and one must be there");
        bucket.take(1_000_000, 0);
        assert_eq!(bucket.wait_ns(0), 10_100_000_000);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let bucket = Bucket::of(Rate { per_second: 1, burst: u64::MAX });
        for _ in 0..4 {
            bucket.take(u64::MAX, u64::MAX / 8);
        }
        assert!(bucket.used(u64::MAX / 8) > 0.0);
        assert!(bucket.wait_ns(0) > 0);
    }
}
