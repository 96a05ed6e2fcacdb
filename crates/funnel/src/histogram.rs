//! A sparse histogram over minutes that keeps the sum of every rolling window up to date: adding or removing a cell
//! costs one look-up and a compare per window, and moving the windows on by a minute costs one look-up per window. One
//! histogram serves all windows of a funnel's step.
//!
//! A cell is a minute and a bucket (`buckets` is 1 for plain counts). Cells older than every window are forgotten;
//! removing one of those is nothing, since no window counts it.

use std::collections::VecDeque;

use crate::windows::Windows;

/// Minutes of a chunk.
const CHUNK_MINUTES: i64 = 64;
/// Minutes before the longest window for which cells are kept, so that windows can move back a little.
const SLACK_MINUTES: i64 = 1_440;

/// Counts by minute and bucket, with a running sum per window and bucket.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: usize,
    /// Ascending by id.
    chunks: VecDeque<Chunk>,
    /// Windows x buckets.
    sums: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Chunk {
    id: i64,
    /// (minute within the chunk * buckets + bucket, count), ascending, counts above 0.
    cells: Vec<(u16, u32)>,
}

impl Histogram {
    /// An empty histogram for this many buckets and windows.
    pub fn new(buckets: usize, windows: usize) -> Self {
        Self { buckets, chunks: VecDeque::new(), sums: vec![0; buckets * windows] }
    }

    /// Counts one more in a cell.
    pub fn add(&mut self, minute: i64, bucket: usize, windows: &Windows) {
        let key = self.key(minute, bucket);
        let chunk = self.chunk(minute.div_euclid(CHUNK_MINUTES));
        match chunk.cells.binary_search_by_key(&key, |cell| cell.0) {
            Ok(at) => {
                if let Some(cell) = chunk.cells.get_mut(at) {
                    cell.1 += 1;
                }
            }
            Err(at) => chunk.cells.insert(at, (key, 1)),
        }
        self.shift_sums(minute, bucket, windows, |sum| sum.wrapping_add(1));
    }

    /// Counts one less in a cell that [`Histogram::add`] counted.
    pub fn remove(&mut self, minute: i64, bucket: usize, windows: &Windows) {
        let key = self.key(minute, bucket);
        let id = minute.div_euclid(CHUNK_MINUTES);
        let Ok(at) = self.chunks.binary_search_by_key(&id, |chunk| chunk.id) else { return };
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Ok(at) = chunk.cells.binary_search_by_key(&key, |cell| cell.0) else { return };
        match chunk.cells.get_mut(at) {
            Some(cell) if cell.1 > 1 => cell.1 -= 1,
            _ => {
                chunk.cells.remove(at);
            }
        }
        self.shift_sums(minute, bucket, windows, |sum| sum.wrapping_sub(1));
    }

    /// Moves the sums from windows ending at `from` to the same windows ending at `to`, which may lie before.
    pub fn roll(&mut self, from: &Windows, to: &Windows) {
        for (window, (start, new_start)) in from.starts().zip(to.starts()).enumerate() {
            let (low, high) = (start.min(new_start), start.max(new_start));
            let leaving = new_start > start;
            self.shift_range(window, low, high, leaving);
        }
        self.forget_before(to.end() - to.longest() - SLACK_MINUTES);
    }

    /// The sum of a window in a bucket.
    pub fn sum(&self, window: usize, bucket: usize) -> u32 {
        self.sums.get(window * self.buckets + bucket).copied().unwrap_or(0)
    }

    /// Whether no cell is left.
    pub fn is_empty(&self) -> bool {
        self.chunks.iter().all(|chunk| chunk.cells.is_empty())
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| size_of::<Chunk>() + chunk.cells.capacity() * 8).sum::<usize>()
            + self.sums.capacity() * 4
    }

    fn key(&self, minute: i64, bucket: usize) -> u16 {
        (minute.rem_euclid(CHUNK_MINUTES) as usize * self.buckets + bucket) as u16
    }

    /// The chunk with this id, made where there is none; the newest ones are found first.
    fn chunk(&mut self, id: i64) -> &mut Chunk {
        let at = match self.chunks.back() {
            Some(last) if last.id == id => self.chunks.len() - 1,
            Some(last) if last.id > id => match self.chunks.binary_search_by_key(&id, |chunk| chunk.id) {
                Ok(at) => at,
                Err(at) => {
                    self.chunks.insert(at, Chunk { id, cells: Vec::new() });
                    at
                }
            },
            _ => {
                self.chunks.push_back(Chunk { id, cells: Vec::new() });
                self.chunks.len() - 1
            }
        };
        &mut self.chunks[at]
    }

    fn shift_sums(&mut self, minute: i64, bucket: usize, windows: &Windows, change: impl Fn(u32) -> u32) {
        for (window, start) in windows.starts().enumerate() {
            if minute >= start
                && let Some(sum) = self.sums.get_mut(window * self.buckets + bucket)
            {
                *sum = change(*sum);
            }
        }
    }

    /// Takes the cells of the minutes `[low, high)` out of a window's sums, or puts them in.
    fn shift_range(&mut self, window: usize, low: i64, high: i64, leaving: bool) {
        let first = self.chunks.partition_point(|chunk| (chunk.id + 1) * CHUNK_MINUTES <= low);
        let buckets = self.buckets as i64;
        for chunk in self.chunks.range(first..) {
            let start = chunk.id * CHUNK_MINUTES;
            if start >= high {
                break;
            }
            let from = chunk.cells.partition_point(|cell| start + i64::from(cell.0) / buckets < low);
            for (key, count) in chunk.cells.iter().skip(from) {
                if start + i64::from(*key) / buckets >= high {
                    break;
                }
                let bucket = usize::from(*key) % self.buckets;
                if let Some(sum) = self.sums.get_mut(window * self.buckets + bucket) {
                    *sum = if leaving { sum.wrapping_sub(*count) } else { sum.wrapping_add(*count) };
                }
            }
        }
    }

    fn forget_before(&mut self, minute: i64) {
        while self.chunks.front().is_some_and(|chunk| (chunk.id + 1) * CHUNK_MINUTES <= minute) {
            self.chunks.pop_front();
        }
    }
}
