//! What a lane does when the log erases visitors. Called for the control record that says so.
//!
//! The visitors go from all counts at once, and their events are passed over from then on. The rows that say so for good go
//! to the warehouse before the progress that passes the record: a restore that does not read the record again finds them.

use rungs_proto::v1::Erase;
use warehouse::erasures::ErasureRow;

use super::{Effects, Lane};
use crate::erased::visitors_of;
use crate::store::Write;

impl Lane {
    /// Erases the visitors of a record at `offset`. One who is erased already keeps the row that says since when.
    pub(super) fn erase(&mut self, offset: u64, erase: &Erase, effects: &mut Effects) {
        let mut rows = Vec::new();
        for (id, visitor) in visitors_of(erase, &self.partition) {
            if !self.erased.add(&erase.site, visitor) {
                continue;
            }
            rows.push(ErasureRow::new(&erase.site, id, (self.partition.epoch, offset)));
            let joined = self.funnels.iter_mut().filter(|funnel| funnel.joins_at <= offset);
            for funnel in joined.filter(|funnel| funnel.key.site == erase.site) {
                funnel.erase(visitor, self.clock_ms);
            }
        }
        if !rows.is_empty() {
            tracing::info!(
                partition = self.partition.partition,
                offset,
                visitors = rows.len(),
                "visitors were erased"
            );
            effects.writes.push(Write::Erasures(rows));
        }
    }
}

#[cfg(test)]
#[path = "erasing_tests.rs"]
mod tests;
