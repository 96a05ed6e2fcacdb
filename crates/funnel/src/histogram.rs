//! A sparse histogram over minutes that keeps the sum of every rolling window up to date: adding or removing a cell
//! costs one look-up and a compare per window, and moving the windows on by a minute costs one look-up per window. One
//! histogram serves all windows of a funnel's step.
//!
//! A cell is a minute and a bucket (`buckets` is 1 for plain counts). Cells older than every window are forgotten;
//! removing one of those is nothing, since no window counts it. Where traffic is dense a look-up is two indices
//! ([`crate::cells`]); where it is sparse, memory follows what is counted.

use crate::cells::{Cells, MINUTES, key_of};
use crate::track::UNSET;
use crate::windows::{Windows, minute_of};

const CHUNK_MINUTES: i64 = MINUTES as i64;
/// The minute of what is not counted.
pub const NOWHERE: i64 = minute_of(UNSET);

/// Counts by minute and bucket, with a running sum per window and bucket.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: usize,
    /// Ascending by id.
    chunks: Vec<Chunk>,
    /// Buckets x [`Windows::sums`].
    sums: Vec<u32>,
    /// Sums of a bucket.
    stride: usize,
    /// Cells of a chunk that are a list, at most.
    longest_list: usize,
}

/// When the cells of a chunk become an array: it is read and changed faster than a list, and takes more memory while few
/// of them count anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Density {
    /// Of everybody: histograms are few, and every event changes them.
    Everybody,
    /// Of a breakdown value: they are many and mostly sparse.
    Value,
}

impl Density {
    /// A list becomes an array when it holds more than one cell in this many.
    fn one_in(self) -> usize {
        match self {
            Self::Everybody => 32,
            Self::Value => 4,
        }
    }
}

#[derive(Debug, Clone)]
struct Chunk {
    id: i64,
    /// By [`key_of`] the minute within the chunk.
    cells: Cells,
}

impl Histogram {
    /// An empty histogram for this many buckets and windows.
    pub fn new(buckets: usize, windows: usize, density: Density) -> Self {
        let stride = Windows::sums(windows);
        let longest_list = buckets * usize::from(MINUTES) / density.one_in();
        Self { buckets, chunks: Vec::new(), sums: vec![0; buckets * stride], stride, longest_list }
    }

    /// Moves one from a minute to another, within a bucket; either may be [`NOWHERE`]. What is to be removed was added
    /// before; where it was forgotten since, no window counts it.
    #[inline]
    pub fn shift(&mut self, from: i64, to: i64, bucket: usize, windows: &Windows) {
        if from != to {
            self.move_one(from, to, bucket, windows);
        }
    }

    fn move_one(&mut self, from: i64, to: i64, bucket: usize, windows: &Windows) {
        let was_there = from != NOWHERE && self.remove(from, bucket);
        let from = if was_there { from } else { NOWHERE };
        if to != NOWHERE {
            self.add(to, bucket);
        }
        if from.min(to) >= windows.latest_start() {
            return;
        }
        let first = bucket * self.stride;
        if let Some(sums) = self.sums.get_mut(first..first + self.stride) {
            windows.move_one(from, to, sums);
        }
    }

    #[inline]
    fn add(&mut self, minute: i64, bucket: usize) {
        let (size, longest) = (self.chunk_size(), self.longest_list);
        let cells = &mut self.chunk(minute.div_euclid(CHUNK_MINUTES)).cells;
        cells.increment(key(minute, bucket), size, longest);
    }

    /// Whether it was there.
    #[inline]
    fn remove(&mut self, minute: i64, bucket: usize) -> bool {
        let Ok(at) = self.find(minute.div_euclid(CHUNK_MINUTES)) else { return false };
        self.chunks.get_mut(at).is_some_and(|chunk| chunk.cells.decrement(key(minute, bucket)))
    }

    /// Moves the sums from windows ending at `from` to the same windows ending at `to`, which may lie before.
    pub fn roll(&mut self, from: &Windows, to: &Windows) {
        for (window, (start, new_start)) in from.starts().iter().zip(to.starts()).enumerate() {
            let (low, high) = (*start.min(new_start), *start.max(new_start));
            let leaving = new_start > start;
            self.shift_range(window, low, high, leaving);
        }
    }

    /// The sum of a window in a bucket.
    pub fn sum(&self, window: usize, bucket: usize) -> u32 {
        self.sums.get(bucket * self.stride + window).copied().unwrap_or(0)
    }

    /// Whether no cell is left.
    pub fn is_empty(&self) -> bool {
        self.chunks.iter().all(|chunk| chunk.cells.is_empty())
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| size_of::<Chunk>() + chunk.cells.bytes()).sum::<usize>()
            + self.sums.capacity() * 4
    }

    fn chunk_size(&self) -> usize {
        CHUNK_MINUTES as usize * self.buckets
    }

    /// Where the chunk with this id is, or belongs. Without gaps it is as far from the first one as its id.
    #[inline]
    fn find(&self, id: i64) -> Result<usize, usize> {
        let Some(first) = self.chunks.first() else { return Err(0) };
        let guess = usize::try_from(id - first.id).map_err(|_| 0usize)?;
        if self.chunks.get(guess).is_some_and(|chunk| chunk.id == id) {
            return Ok(guess);
        }
        self.chunks.binary_search_by_key(&id, |chunk| chunk.id)
    }

    /// The chunk with this id, made where there is none.
    #[expect(clippy::indexing_slicing, reason = "the chunk is there: found, or just inserted")]
    fn chunk(&mut self, id: i64) -> &mut Chunk {
        let at = self.find(id).unwrap_or_else(|at| {
            self.chunks.insert(at, Chunk { id, cells: Cells::default() });
            at
        });
        &mut self.chunks[at]
    }

    /// Takes the cells of the minutes `[low, high)` out of a window's sums, or puts them in.
    fn shift_range(&mut self, window: usize, low: i64, high: i64, leaving: bool) {
        let first = self.find(low.div_euclid(CHUNK_MINUTES)).unwrap_or_else(|at| at);
        for chunk in self.chunks.iter().skip(first) {
            let start = chunk.id * CHUNK_MINUTES;
            if start >= high {
                break;
            }
            let within = |minute: i64| (minute - start).clamp(0, CHUNK_MINUTES) as u16;
            chunk.cells.each(within(low), within(high), |bucket, count| {
                if let Some(sum) = self.sums.get_mut(bucket * self.stride + window) {
                    *sum = if leaving { sum.wrapping_sub(count) } else { sum.wrapping_add(count) };
                }
            });
        }
    }

    /// Forgets cells before a minute that no window reaches any more, nor will if it moves back.
    pub fn forget_before(&mut self, minute: i64) {
        let forgotten = self.chunks.partition_point(|chunk| (chunk.id + 1) * CHUNK_MINUTES <= minute);
        self.chunks.drain(..forgotten);
    }
}

fn key(minute: i64, bucket: usize) -> u16 {
    key_of(minute.rem_euclid(CHUNK_MINUTES) as u16, bucket)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::windows::MINUTE_MS;

    const BUCKETS: usize = 3;

    #[derive(Debug, Clone)]
    enum Change {
        /// From a counted one (by its place among them), or from nowhere, to a minute or to nowhere.
        Move(Option<prop::sample::Index>, Option<i64>, usize),
        Roll(i64),
    }

    fn change() -> impl Strategy<Value = Change> {
        let minute = 28_000_000..28_000_400i64;
        let from = prop::option::weighted(0.4, any::<prop::sample::Index>());
        prop_oneof![
            9 => (from, prop::option::weighted(0.8, minute.clone()), 0..BUCKETS)
                .prop_map(|(from, to, bucket)| Change::Move(from, to, bucket)),
            1 => minute.prop_map(Change::Roll),
        ]
    }

    proptest! {
        #[test]
        fn sums_equal_a_count_of_all_cells(
            lengths in prop::collection::vec(1..400i64, 1..10),
            changes in prop::collection::vec(change(), 0..300),
            density in prop::sample::select(vec![Density::Everybody, Density::Value]),
        ) {
            let lengths: Vec<i64> = lengths.iter().map(|minutes| minutes * MINUTE_MS).collect();
            let mut windows = Windows::new(&lengths, 28_000_400);
            let mut histogram = Histogram::new(BUCKETS, lengths.len(), density);
            let mut cells: Vec<(i64, usize)> = Vec::new();
            for change in changes {
                match change {
                    Change::Roll(end) => {
                        let to = windows.ending_at(end);
                        histogram.roll(&windows, &to);
                        windows = to;
                    }
                    Change::Move(from, to, bucket) => {
                        let from = from.filter(|_| !cells.is_empty()).map(|place| cells.swap_remove(place.index(cells.len())));
                        let bucket = from.map_or(bucket, |cell| cell.1);
                        histogram.shift(from.map_or(NOWHERE, |cell| cell.0), to.unwrap_or(NOWHERE), bucket, &windows);
                        cells.extend(to.map(|minute| (minute, bucket)));
                    }
                }
            }
            for (window, start) in windows.starts().iter().enumerate() {
                for bucket in 0..BUCKETS {
                    let counted = cells.iter().filter(|cell| cell.1 == bucket && cell.0 >= *start);
                    prop_assert_eq!(histogram.sum(window, bucket) as usize, counted.count());
                }
            }
            prop_assert_eq!(histogram.is_empty(), cells.is_empty());
        }
    }
}
