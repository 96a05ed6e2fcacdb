//! The counts of one chunk of a [`Histogram`](crate::histogram::Histogram): a sorted list while there are few of them, an
//! array once the list would not be much smaller. Breakdown values are many and mostly sparse; everybody's histograms are
//! few, dense, and changed by every event.

/// A list becomes an array when it holds more than one cell in this many.
const DENSE_ONE_IN: usize = 4;

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
    /// Counts one more; keys are below `size`.
    pub(crate) fn increment(&mut self, key: u16, size: usize) {
        match self {
            Self::Many { counts, total } => {
                if let Some(count) = counts.get_mut(usize::from(key)) {
                    *count += 1;
                    *total += 1;
                }
            }
            Self::Few(cells) => match cells.binary_search_by_key(&key, |cell| cell.0) {
                Ok(at) => {
                    if let Some(cell) = cells.get_mut(at) {
                        cell.1 += 1;
                    }
                }
                Err(at) => {
                    cells.insert(at, (key, 1));
                    if cells.len() * DENSE_ONE_IN > size {
                        *self = Self::many(cells, size);
                    }
                }
            },
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
            Self::Few(cells) => {
                let Ok(at) = cells.binary_search_by_key(&key, |cell| cell.0) else { return false };
                match cells.get_mut(at) {
                    Some(cell) if cell.1 > 1 => cell.1 -= 1,
                    _ => drop(cells.remove(at)),
                }
                true
            }
        }
    }

    /// Keys in `[from, to)` that count anything, ascending, with their counts.
    pub(crate) fn range(&self, from: u16, to: u16) -> impl Iterator<Item = (u16, u32)> + '_ {
        let (few, many) = match self {
            Self::Few(cells) => {
                let start = cells.partition_point(|cell| cell.0 < from);
                (cells.get(start..).unwrap_or(&[]), &[] as &[u32])
            }
            Self::Many { counts, .. } => {
                (&[] as &[(u16, u32)], counts.get(usize::from(from)..usize::from(to)).unwrap_or(&[]))
            }
        };
        let few = few.iter().copied().take_while(move |cell| cell.0 < to);
        few.chain((from..to).zip(many.iter().copied()).filter(|(_, count)| *count > 0))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn cells_equal_a_map_whether_few_or_many(
            changes in prop::collection::vec((any::<bool>(), 0..64u16), 0..400), from in 0..64u16, to in 0..=64u16,
        ) {
            let (mut cells, mut map) = (Cells::default(), BTreeMap::<u16, u32>::new());
            for (up, key) in changes {
                let counted = map.get(&key).copied().unwrap_or(0);
                if up {
                    cells.increment(key, 64);
                    map.insert(key, counted + 1);
                } else {
                    prop_assert_eq!(cells.decrement(key), counted > 0);
                    map.insert(key, counted.saturating_sub(1));
                }
                map.retain(|_, count| *count > 0);
                prop_assert_eq!(cells.is_empty(), map.is_empty());
            }
            let to = to.max(from);
            prop_assert_eq!(cells.range(from, to).collect::<Vec<_>>(), map.into_iter()
                .filter(|(key, _)| (from..to).contains(key)).collect::<Vec<_>>());
        }
    }
}
