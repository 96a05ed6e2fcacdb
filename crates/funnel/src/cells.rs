//! The counts of one chunk of a [`Histogram`](crate::histogram::Histogram): a sorted list while there are few of them, an
//! array once the list would not be much smaller. Breakdown values are many and mostly sparse; everybody's histograms are
//! few, dense, and changed by every event.

/// Minutes of a chunk.
pub(crate) const MINUTES: u16 = 64;

/// Where a cell stands: the minutes of a bucket side by side. Of the buckets of a duration most people take a few; those
/// that nobody takes are not looked at, so what the processor has to hold near is small.
#[inline]
pub(crate) fn key_of(minute: u16, bucket: usize) -> u16 {
    bucket as u16 * MINUTES + minute
}

/// Counts by key.
#[derive(Debug, Clone)]
pub(crate) enum Cells {
    /// (key, count), ascending, counts above 0.
    Few(Vec<(u16, u32)>),
    /// Counts by key, and their sum.
    Many { counts: Box<[u32]>, total: u64 },
}

impl Default for Cells {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Cells {
    /// Counts one more; keys are below `size`, and a list becomes an array when it is longer than `longest`.
    #[inline]
    pub(crate) fn increment(&mut self, key: u16, size: usize, longest: usize) {
        match self {
            Self::Many { counts, total } => {
                if let Some(count) = counts.get_mut(usize::from(key)) {
                    *count += 1;
                    *total += 1;
                }
            }
            Self::Few(_) => self.increment_few(key, size, longest),
        }
    }

    fn increment_few(&mut self, key: u16, size: usize, longest: usize) {
        let Self::Few(cells) = self else { return };
        match cells.binary_search_by_key(&key, |cell| cell.0) {
            Ok(at) => {
                if let Some(cell) = cells.get_mut(at) {
                    cell.1 += 1;
                }
            }
            Err(at) => {
                cells.insert(at, (key, 1));
                if cells.len() > longest {
                    *self = Self::many(cells, size);
                }
            }
        }
    }

    fn many(cells: &[(u16, u32)], size: usize) -> Self {
        let mut counts = vec![0; size].into_boxed_slice();
        let mut total = 0;
        for (key, count) in cells {
            if let Some(cell) = counts.get_mut(usize::from(*key)) {
                *cell = *count;
                total += u64::from(*count);
            }
        }
        Self::Many { counts, total }
    }

    /// Counts one less; `false` if the cell counts nothing.
    #[inline]
    pub(crate) fn decrement(&mut self, key: u16) -> bool {
        match self {
            Self::Many { counts, total } => {
                let Some(count) = counts.get_mut(usize::from(key)).filter(|count| **count > 0) else {
                    return false;
                };
                *count -= 1;
                *total -= 1;
                if *total == 0 {
                    *self = Self::default();
                }
                true
            }
            Self::Few(cells) => decrement_few(cells, key),
        }
    }

    /// Shows the bucket and count of every cell of the minutes `[from, to)` that counts anything.
    pub(crate) fn each(&self, from: u16, to: u16, mut show: impl FnMut(usize, u32)) {
        match self {
            Self::Few(cells) => {
                for (key, count) in cells {
                    if (from..to).contains(&(key % MINUTES)) {
                        show(usize::from(key / MINUTES), *count);
                    }
                }
            }
            Self::Many { counts, .. } => {
                for (bucket, minutes) in counts.chunks_exact(usize::from(MINUTES)).enumerate() {
                    let minutes = minutes.get(usize::from(from)..usize::from(to)).unwrap_or(&[]);
                    minutes.iter().filter(|count| **count > 0).for_each(|count| show(bucket, *count));
                }
            }
        }
    }

    /// Whether nothing is counted.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Few(cells) if cells.is_empty())
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Few(cells) => cells.capacity() * size_of::<(u16, u32)>(),
            Self::Many { counts, .. } => counts.len() * 4,
        }
    }
}

fn decrement_few(cells: &mut Vec<(u16, u32)>, key: u16) -> bool {
    let Ok(at) = cells.binary_search_by_key(&key, |cell| cell.0) else { return false };
    match cells.get_mut(at) {
        Some(cell) if cell.1 > 1 => cell.1 -= 1,
        _ => drop(cells.remove(at)),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn cells_equal_a_map_whether_few_or_many(
            changes in prop::collection::vec((any::<bool>(), 0..2 * MINUTES), 0..400),
            from in 0..MINUTES, to in 0..=MINUTES, longest in 0..100usize,
        ) {
            let (mut cells, mut map) = (Cells::default(), BTreeMap::<u16, u32>::new());
            for (up, key) in changes {
                let counted = map.get(&key).copied().unwrap_or(0);
                if up {
                    cells.increment(key, 2 * usize::from(MINUTES), longest);
                    map.insert(key, counted + 1);
                } else {
                    prop_assert_eq!(cells.decrement(key), counted > 0);
                    map.insert(key, counted.saturating_sub(1));
                }
                map.retain(|_, count| *count > 0);
                prop_assert_eq!(cells.is_empty(), map.is_empty());
            }
            let to = to.max(from);
            let mut shown = Vec::new();
            cells.each(from, to, |bucket, count| shown.push((bucket, count)));
            let of_minutes = |bucket: usize| map.range(key_of(from, bucket)..key_of(to, bucket));
            let expected = [0, 1].map(|bucket| of_minutes(bucket).map(move |(_, count)| (bucket, *count)));
            prop_assert_eq!(shown, expected.into_iter().flatten().collect::<Vec<_>>());
        }
    }
}
