//! The journeys of a funnel's visitors, encoded, by visitor, with a note of those that changed since they were last taken
//! to be stored. Used by [`fold`](crate::fold); what the bytes mean is [`codec`](crate::codec)'s.
//!
//! An entry is one allocation: a word (the state's length, and whether it changed), the state, and room up to the size
//! that the allocator gives anyway, so that a growing journey moves now and then and not with every event.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};

/// Hashes are taken as they are: the keys are hashes already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TakenAsIs(u64);

impl Hasher for TakenAsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64(bytes);
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// Bytes before the state.
const HEAD: usize = 4;
/// In the head, beside twice the length: the state changed since it was last taken.
const CHANGED: u32 = 1;

/// Bytes that the processor reads at once.
const CACHE_LINE: usize = 64;
/// Visitors that are found before the first of them is read.
const WARMED_TOGETHER: usize = 32;

/// Encoded journeys.
#[derive(Default)]
pub(crate) struct Journeys {
    table: HashMap<u128, Box<[u8]>, BuildHasherDefault<TakenAsIs>>,
    /// In the order in which they changed first.
    changed: VecDeque<u128>,
}

/// A visitor's place in the table, found once for reading and writing.
pub(crate) struct Slot<'a> {
    entry: Entry<'a, u128, Box<[u8]>, BuildHasherDefault<TakenAsIs>>,
    changed: &'a mut VecDeque<u128>,
}

impl Journeys {
    /// How many visitors there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many changed since they were last taken; those that were removed since are among them.
    pub(crate) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Whether a visitor has a state.
    pub(crate) fn contains(&self, visitor: u128) -> bool {
        self.table.contains_key(&visitor)
    }

    /// A visitor's place.
    pub(crate) fn slot(&mut self, visitor: u128) -> Slot<'_> {
        Slot { entry: self.table.entry(visitor), changed: &mut self.changed }
    }

    /// Puts a state there that is stored already.
    pub(crate) fn restore(&mut self, visitor: u128, state: &[u8]) {
        self.table.insert(visitor, entry_of(state, 0));
    }

    /// Removes a visitor's state and shows it to `last`; whether there was one. It is not handed out as changed any more.
    pub(crate) fn remove(&mut self, visitor: u128, last: impl FnOnce(&[u8])) -> bool {
        let removed = self.table.remove(&visitor);
        if let Some(entry) = &removed {
            last(state_of(entry));
        }
        removed.is_some()
    }

    /// Takes up to `limit` states that changed since they were last taken; those that wait longest first.
    pub(crate) fn take_changed(&mut self, limit: usize) -> Vec<(u128, Vec<u8>)> {
        let count = self.changed.len().min(limit);
        let mut taken = Vec::with_capacity(count);
        for visitor in self.changed.drain(..count) {
            if let Some(entry) = self.table.get_mut(&visitor) {
                taken.push((visitor, state_of(entry).to_vec()));
                let head = head_of(entry) & !CHANGED;
                set_head(entry, head);
            }
        }
        if self.changed.is_empty() {
            self.changed.shrink_to(limit);
        }
        taken
    }

    /// Drops unchanged journeys of which `keep` says no.
    pub(crate) fn retain_unchanged(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        self.table.retain(|_, entry| head_of(entry) & CHANGED != 0 || keep(state_of(entry)));
    }

    /// Reads a little of these visitors' journeys, so that they are in the processor's cache when they are asked for.
    ///
    /// Finding and reading are two passes: how long an entry is decides how much of it is read, and a processor that
    /// guesses this wrong waits for the entry's place before it goes on to the next visitor's.
    pub(crate) fn warm(&self, visitors: impl IntoIterator<Item = u128>) {
        let mut visitors = visitors.into_iter();
        let mut touched = 0u8;
        loop {
            let mut entries = [&[] as &[u8]; WARMED_TOGETHER];
            let mut found = 0;
            for (place, visitor) in entries.iter_mut().zip(visitors.by_ref()) {
                *place = self.table.get(&visitor).map_or(&[], |entry| entry);
                found += 1;
            }
            for entry in entries.iter().take(found) {
                touched = entry.iter().step_by(CACHE_LINE).fold(touched, |touched, byte| touched ^ byte);
            }
            if found < WARMED_TOGETHER {
                break;
            }
        }
        std::hint::black_box(touched);
    }

    /// Heap bytes, with the table's share and the room in the entries.
    pub(crate) fn bytes(&self) -> usize {
        let entries: usize = self.table.values().map(|entry| entry.len()).sum();
        let buckets = self.table.capacity() * 8 / 7;
        entries + buckets * (size_of::<(u128, Box<[u8]>)>() + 1)
    }
}

impl Slot<'_> {
    /// The visitor's state, if there is one.
    pub(crate) fn state(&self) -> Option<&[u8]> {
        match &self.entry {
            Entry::Occupied(entry) => Some(state_of(entry.get())),
            Entry::Vacant(_) => None,
        }
    }

    /// Puts a state in its place, changed.
    pub(crate) fn store(self, state: &[u8]) {
        match self.entry {
            Entry::Occupied(mut slot) => {
                if head_of(slot.get()) & CHANGED == 0 {
                    self.changed.push_back(*slot.key());
                }
                let entry = slot.get_mut();
                if entry.len() == size_for(state.len()) {
                    write(entry, state, CHANGED);
                } else {
                    *entry = entry_of(state, CHANGED);
                }
            }
            Entry::Vacant(slot) => {
                self.changed.push_back(*slot.key());
                slot.insert(entry_of(state, CHANGED));
            }
        }
    }
}

/// Bytes of an entry for a state of this length: as jemalloc's size classes are, so that no room is lost beside it.
fn size_for(state: usize) -> usize {
    let needed = HEAD + state;
    needed.next_multiple_of((needed.next_power_of_two() / 8).max(16))
}

fn entry_of(state: &[u8], changed: u32) -> Box<[u8]> {
    let size = size_for(state.len());
    let mut entry = Vec::with_capacity(size);
    entry.extend_from_slice(&((state.len() as u32) << 1 | changed).to_le_bytes());
    entry.extend_from_slice(state);
    entry.resize(size, 0);
    entry.into_boxed_slice()
}

fn write(entry: &mut [u8], state: &[u8], changed: u32) {
    set_head(entry, (state.len() as u32) << 1 | changed);
    if let Some(room) = entry.get_mut(HEAD..HEAD + state.len()) {
        room.copy_from_slice(state);
    }
}

fn set_head(entry: &mut [u8], head: u32) {
    if let Some(slot) = entry.first_chunk_mut() {
        *slot = head.to_le_bytes();
    }
}

fn head_of(entry: &[u8]) -> u32 {
    entry.first_chunk().map_or(0, |head| u32::from_le_bytes(*head))
}

fn state_of(entry: &[u8]) -> &[u8] {
    let length = (head_of(entry) >> 1) as usize;
    entry.get(HEAD..HEAD + length).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn the_table_equals_a_map(
            changes in prop::collection::vec((0..5u128, prop::collection::vec(any::<u8>(), 0..300)), 0..40),
            taken_after in 0..40usize,
        ) {
            let (mut journeys, mut map, mut changed) = (Journeys::default(), BTreeMap::new(), BTreeSet::new());
            for (at, (visitor, state)) in changes.into_iter().enumerate() {
                let slot = journeys.slot(visitor);
                prop_assert_eq!(slot.state(), map.get(&visitor).map(Vec::as_slice));
                slot.store(&state);
                map.insert(visitor, state);
                changed.insert(visitor);
                if at == taken_after {
                    let mut taken = journeys.take_changed(usize::MAX);
                    taken.sort();
                    prop_assert!(taken.into_iter().eq(map.iter().map(|(visitor, state)| (*visitor, state.clone()))));
                    changed.clear();
                }
            }
            prop_assert_eq!((journeys.len(), journeys.changed()), (map.len(), changed.len()));
            journeys.retain_unchanged(|_| false);
            prop_assert_eq!(journeys.len(), changed.len());
        }
    }

    #[test]
    fn an_entry_has_the_size_of_an_allocation() {
        for (state, size) in
            [(0, 16), (12, 16), (13, 32), (124, 128), (125, 160), (252, 256), (253, 320), (600, 640)]
        {
            assert_eq!(size_for(state), size, "{state}");
        }
    }
}
