//! The newest groups of every partition, in memory, so that a reader that follows the end never reads the disk. The
//! buffers are those that fjall's memtable holds anyway until it is flushed.
//!
//! Guarantee: the groups kept of a partition are its last ones without a gap.

use std::collections::VecDeque;

use super::group::Group;

#[derive(Debug)]
pub(super) struct Tail {
    max_bytes: usize,
    bytes: usize,
    /// Of every partition, oldest first.
    groups: Vec<VecDeque<Group>>,
    /// Whose group came when, oldest first: the order in which they go.
    order: VecDeque<u32>,
}

impl Tail {
    pub(super) fn new(partitions: u32, max_bytes: usize) -> Self {
        let groups = (0..partitions).map(|_| VecDeque::new()).collect();
        Self { max_bytes, bytes: 0, groups, order: VecDeque::new() }
    }

    /// Appends a group that is durable.
    pub(super) fn push(&mut self, group: Group) {
        let Some(kept) = self.groups.get_mut(group.partition as usize) else { return };
        self.bytes += cost(&group);
        self.order.push_back(group.partition);
        kept.push_back(group);
        while self.bytes > self.max_bytes {
            let Some(partition) = self.order.pop_front() else { return };
            let oldest = self.groups.get_mut(partition as usize).and_then(VecDeque::pop_front);
            self.bytes -= oldest.as_ref().map_or(0, cost);
        }
    }

    /// The groups from the one with offset `from` on, until they hold `max_bytes`; none if that one is not kept.
    pub(super) fn groups(&self, partition: u32, from: u64, max_bytes: usize) -> Vec<Group> {
        let Some(kept) = self.groups.get(partition as usize) else { return Vec::new() };
        let Some(start) = kept.partition_point(|group| group.first <= from).checked_sub(1) else {
            return Vec::new();
        };
        let mut budget = Some(max_bytes);
        kept.range(start..)
            .take_while(|group| {
                let open = budget.is_some();
                budget = budget.and_then(|left| left.checked_sub(group.packed.len()));
                open
            })
            .cloned()
            .collect()
    }
}

/// The buffer and its entry.
fn cost(group: &Group) -> usize {
    group.packed.len() + size_of::<Group>()
}
