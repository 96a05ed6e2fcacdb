//! The rolling windows of a funnel at the minute at which it is evaluated: window `i` covers the minutes
//! `[end - length(i), end)`. The conversion window is the last one: "open" is counted over it.

/// Milliseconds of a minute.
pub const MINUTE_MS: i64 = 60_000;

/// The minute that a time lies in, counted from 1970.
pub fn minute_of(ms: i64) -> i64 {
    ms.div_euclid(MINUTE_MS)
}

/// Window lengths and the minute at which they end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    minutes: Vec<i64>,
    /// The first minute of each window.
    starts: Vec<i64>,
    latest_start: i64,
    end: i64,
}

impl Windows {
    /// `lengths_ms`: the rolling windows in the plan's order, then the conversion window; `end`: an exclusive minute.
    pub fn new(lengths_ms: &[i64], end: i64) -> Self {
        Self::of(lengths_ms.iter().map(|ms| ms / MINUTE_MS).collect(), end)
    }

    fn of(minutes: Vec<i64>, end: i64) -> Self {
        let starts: Vec<i64> = minutes.iter().map(|minutes| end - minutes).collect();
        let latest_start = starts.iter().copied().max().unwrap_or(end);
        Self { minutes, starts, latest_start, end }
    }

    /// How many windows there are, the conversion window among them.
    pub fn len(&self) -> usize {
        self.minutes.len()
    }

    /// Never: a funnel has a conversion window.
    pub fn is_empty(&self) -> bool {
        self.minutes.is_empty()
    }

    /// The minute at which all windows end, exclusive.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// The first minute of each window.
    pub fn starts(&self) -> &[i64] {
        &self.starts
    }

    /// The first minute of the shortest window: what moves behind it stays in all windows.
    pub fn latest_start(&self) -> i64 {
        self.latest_start
    }

    /// The same windows ending elsewhere.
    pub fn ending_at(&self, end: i64) -> Self {
        Self::of(self.minutes.clone(), end)
    }

    /// The length of the longest window in minutes.
    pub fn longest(&self) -> i64 {
        self.minutes.iter().copied().max().unwrap_or(0)
    }
}
