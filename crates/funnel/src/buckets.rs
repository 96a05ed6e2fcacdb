//! The fixed buckets in which durations are counted: 1, 2 and 5 times every power of ten from 0.1 s to 5,000,000 s (58
//! days), and one beyond. Buckets of partitions and minutes can be added up, medians cannot; the price is that quantiles
//! are approximate (right to the bucket, interpolated within it on a logarithmic scale). 10 s, the bound of a good small
//! step, is an exact edge.

/// Upper bounds in milliseconds, both included and ascending; the last bucket has none.
pub const UPPER_BOUNDS_MS: [i64; 24] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
];

/// How many buckets there are.
pub const COUNT: usize = UPPER_BOUNDS_MS.len() + 1;

/// Buckets that hold durations of 10 s or less.
pub const UNDER_10_SECONDS: usize = 7;

/// The bucket of a duration; negative ones count as 0.
pub fn bucket_of(duration_ms: i64) -> usize {
    UPPER_BOUNDS_MS.partition_point(|bound| *bound < duration_ms)
}

/// The `q`-quantile (0..=1) in seconds; `None` without any duration. Those of a bucket are taken to be spread over it evenly
/// on a logarithmic scale, so that a single one has its median in the middle. Durations beyond the last bound read as that
/// bound.
pub fn quantile_seconds(counts: &[u64], q: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = q.clamp(0.0, 1.0) * total as f64;
    let mut below = 0u64;
    for (bucket, count) in counts.iter().enumerate() {
        if *count > 0 && (below + count) as f64 >= rank {
            return Some(interpolate(bucket, (rank - below as f64) / *count as f64));
        }
        below += count;
    }
    None
}

fn interpolate(bucket: usize, share: f64) -> f64 {
    let bound = |index: usize| UPPER_BOUNDS_MS.get(index).map(|ms| *ms as f64 / 1_000.0);
    match (bucket.checked_sub(1).and_then(bound), bound(bucket)) {
        (Some(low), Some(high)) => low * (high / low).powf(share),
        (None, Some(high)) => high * share,
        (Some(low), None) => low,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_the_bucket_below() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(-5), 0);
        assert_eq!(bucket_of(100), 0);
        assert_eq!(bucket_of(101), 1);
        assert_eq!(bucket_of(10_000), UNDER_10_SECONDS - 1);
        assert_eq!(bucket_of(10_001), UNDER_10_SECONDS);
        assert_eq!(bucket_of(i64::MAX), COUNT - 1);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut counts = [0u64; COUNT];
        counts[3] = 10; // 0.5 s .. 1 s
        let median = quantile_seconds(&counts, 0.5).unwrap();
        assert!((0.5..=1.0).contains(&median), "{median}");
        assert_eq!(quantile_seconds(&[0; COUNT], 0.5), None);
    }

    #[test]
    fn the_median_of_one_is_the_middle_of_its_bucket() {
        let mut counts = [0u64; COUNT];
        counts[bucket_of(105_000)] = 1; // 100 s .. 200 s
        let [low, median, high] = [0.0, 0.5, 1.0].map(|q| quantile_seconds(&counts, q).unwrap());
        assert!((low - 100.0).abs() < 1e-9 && (high - 200.0).abs() < 1e-9, "{low} {high}");
        assert!((median - 20_000f64.sqrt()).abs() < 1e-9, "{median}");
    }
}
