//! The rolling windows of a funnel at the minute at which it is evaluated: window `i` covers the minutes
//! `[end - length(i), end)`. The conversion window is the last one: "open" is counted over it.

/// Milliseconds of a minute.
pub const MINUTE_MS: i64 = 60_000;

/// The minute that a time lies in, counted from 1970.
pub const fn minute_of(ms: i64) -> i64 {
    ms.div_euclid(MINUTE_MS)
}

/// Windows whose sums are changed at once: that many numbers of 32 bits fit into a register of every processor.
const LANES: usize = 4;

/// A minute in 31 bits, which reach 2,041 years before and after 1970, so that differences fit into 32. What lies beyond is as
/// far as that.
fn narrow(minute: i64) -> i32 {
    minute.clamp(-(1 << 30), (1 << 30) - 1) as i32
}

/// Window lengths and the minute at which they end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    minutes: Vec<i64>,
    /// The first minute of each window.
    starts: Vec<i64>,
    /// The same, [`LANES`] at a time, for [`Windows::move_one`].
    lanes: Vec<[i32; LANES]>,
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
        let lane = |starts: &[i64]| {
            let mut lane = [1 << 30; LANES];
            lane.iter_mut().zip(starts).for_each(|(slot, start)| *slot = narrow(*start));
            lane
        };
        let lanes = starts.chunks(LANES).map(lane).collect();
        Self { minutes, starts, lanes, latest_start, end }
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

    /// Moves one from a minute to another in the sums of all windows: [`Windows::sums`] of them, in the windows' order.
    #[inline]
    pub fn move_one(&self, from: i64, to: i64, sums: &mut [u32]) {
        let (from, to) = (narrow(from), narrow(to));
        for (sums, starts) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(&self.lanes) {
            let entered = starts.map(|start| ((start - 1 - to) >> 31) as u32);
            let left = starts.map(|start| ((start - 1 - from) >> 31) as u32);
            let mut moved = *sums;
            for ((sum, entered), left) in moved.iter_mut().zip(entered).zip(left) {
                *sum = sum.wrapping_sub(entered).wrapping_add(left);
            }
            *sums = moved;
        }
    }

    /// How many sums stand for the windows: their number, rounded up to what the processor takes at once.
    pub fn sums(windows: usize) -> usize {
        windows.next_multiple_of(LANES)
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
