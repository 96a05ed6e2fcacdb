//! A sparse histogram over minutes that keeps the sum of every rolling window up to date: adding or removing a cell
//! costs one look-up and a compare per window, and moving the windows on by a minute costs one look-up per window. One
//! histogram serves all windows of a funnel's step.
//!
//! A cell is a minute and a bucket (`buckets` is 1 for plain counts). Cells older than every window are forgotten;
//! removing one of those is nothing, since no window counts it. Where traffic is dense a look-up is two indices
//! ([`crate::cells`]); where it is sparse, memory follows what is counted.

use std::collections::VecDeque;

use crate::cells::Cells;
use crate::windows::Windows;

/// Minutes of a chunk.
const CHUNK_MINUTES: i64 = 64;

/// Counts by minute and bucket, with a running sum per window and bucket.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: usize,
    /// Ascending by id.
    chunks: VecDeque<Chunk>,
    /// Buckets x windows.
    sums: Vec<u32>,
    windows: usize,
}

#[derive(Debug, Clone)]
struct Chunk {
    id: i64,
    /// By minute within the chunk * buckets + bucket.
    cells: Cells,
}

impl Histogram {
    /// An empty histogram for this many buckets and windows.
    pub fn new(buckets: usize, windows: usize) -> Self {
        Self { buckets, chunks: VecDeque::new(), sums: vec![0; buckets * windows], windows }
    }

    /// Moves one from a minute to another, within a bucket; `None` is nowhere. What is to be removed was added before;
    /// where it was forgotten since, no window counts it.
    pub fn shift(&mut self, from: Option<i64>, to: Option<i64>, bucket: usize, windows: &Windows) {
        if from == to {
            return;
        }
        let from = from.filter(|minute| self.remove(*minute, bucket)).unwrap_or(i64::MIN);
        if let Some(minute) = to {
            self.add(minute, bucket);
        }
        let to = to.unwrap_or(i64::MIN);
        if from.min(to) >= windows.latest_start() {
            return;
        }
        let first = bucket * self.windows;
        let Some(sums) = self.sums.get_mut(first..first + self.windows) else { return };
        for (sum, start) in sums.iter_mut().zip(windows.starts()) {
            *sum = sum.wrapping_add(u32::from(to >= *start)).wrapping_sub(u32::from(from >= *start));
        }
    }

    fn add(&mut self, minute: i64, bucket: usize) {
        let (key, size) = (self.key(minute, bucket), self.chunk_size());
        self.chunk(minute.div_euclid(CHUNK_MINUTES)).cells.increment(key, size);
    }

    /// Whether it was there.
    fn remove(&mut self, minute: i64, bucket: usize) -> bool {
        let key = self.key(minute, bucket);
        let Ok(at) = self.find(minute.div_euclid(CHUNK_MINUTES)) else { return false };
        self.chunks.get_mut(at).is_some_and(|chunk| chunk.cells.decrement(key))
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
        self.sums.get(bucket * self.windows + window).copied().unwrap_or(0)
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

    fn key(&self, minute: i64, bucket: usize) -> u16 {
        (minute.rem_euclid(CHUNK_MINUTES) as usize * self.buckets + bucket) as u16
    }

    /// Where the chunk with this id is, or belongs. Without gaps it is as far from the first one as its id.
    fn find(&self, id: i64) -> Result<usize, usize> {
        let Some(first) = self.chunks.front() else { return Err(0) };
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
        let first = self.chunks.partition_point(|chunk| (chunk.id + 1) * CHUNK_MINUTES <= low);
        let buckets = self.buckets;
        for chunk in self.chunks.range(first..) {
            let start = chunk.id * CHUNK_MINUTES;
            if start >= high {
                break;
            }
            let key_of = |minute: i64| ((minute - start).clamp(0, CHUNK_MINUTES) as usize * buckets) as u16;
            for (key, count) in chunk.cells.range(key_of(low), key_of(high)) {
                if let Some(sum) = self.sums.get_mut(usize::from(key) % buckets * self.windows + window) {
                    *sum = if leaving { sum.wrapping_sub(count) } else { sum.wrapping_add(count) };
                }
            }
        }
    }

    /// Forgets cells before a minute that no window reaches any more, nor will if it moves back.
    pub fn forget_before(&mut self, minute: i64) {
        while self.chunks.front().is_some_and(|chunk| (chunk.id + 1) * CHUNK_MINUTES <= minute) {
            self.chunks.pop_front();
        }
    }
}
