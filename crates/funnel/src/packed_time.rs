//! Times in 6 bytes, as journeys hold them. Used by [`tail`](crate::tail) and [`tracks`](crate::tracks).

use crate::track::UNSET;

/// Added to a time before it is packed, so that times before 1970 are positive too and 0 is free for [`UNSET`].
const BIAS_MS: i64 = 1 << 47;
/// 48 bits reach 4,459 years before and after 1970. What lies beyond is packed as the bound.
const LATEST: i64 = (1 << 48) - 1;

/// The bits of a packed time.
const BITS: u64 = (1 << 48) - 1;

/// A time as a number of 48 bits; [`UNSET`] as 0.
#[inline]
pub(crate) fn packed_bits(time: i64) -> u64 {
    let biased = if time == UNSET { 0 } else { time.saturating_add(BIAS_MS).clamp(1, LATEST) };
    biased as u64
}

/// A time from [`packed_bits`]; what stands above its 48 bits does not count.
#[inline]
pub(crate) fn unpacked_bits(bits: u64) -> i64 {
    let biased = (bits & BITS) as i64;
    if biased == 0 { UNSET } else { biased - BIAS_MS }
}

/// A time as 6 bytes; [`UNSET`] as zeros.
#[inline]
pub(crate) fn packed_time(time: i64) -> [u8; 6] {
    let [a, b, c, d, e, f, _, _] = packed_bits(time).to_le_bytes();
    [a, b, c, d, e, f]
}

/// A time from [`packed_time`].
#[inline]
pub(crate) fn unpacked_time([a, b, c, d, e, f]: [u8; 6]) -> i64 {
    unpacked_bits(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_comes_back(time in 1 - BIAS_MS..BIAS_MS) {
            prop_assert_eq!(unpacked_time(packed_time(time)), time);
        }
    }

    #[test]
    fn times_that_do_not_fit_become_the_bound() {
        assert_eq!(unpacked_time(packed_time(UNSET)), UNSET);
        assert_eq!(unpacked_time(packed_time(UNSET + 1)), 1 - BIAS_MS);
        assert_eq!(unpacked_time(packed_time(i64::MAX)), LATEST - BIAS_MS);
    }
}
