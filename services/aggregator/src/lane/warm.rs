//! Memory that records will need, read before they are taken.

use funnel::intake::visitor_hash;
use funnel::plan::FunnelIndex;
use rungs_proto::view::RecordView;

use super::Lane;

impl Lane {
    /// Has the journeys that some records will change read all at once, before the records are taken one by one.
    pub fn warm<'a>(&mut self, records: impl Iterator<Item = &'a RecordView<'a>>) {
        self.coming.resize_with(self.funnels.len(), Vec::new);
        for record in records {
            let RecordView::Event(event) = record else { continue };
            let funnels = self.matcher.funnels_for(event.site, event.event);
            if funnels.is_empty() {
                continue;
            }
            let visitor = visitor_hash(event.visitor_id);
            let live =
                funnels.iter().filter_map(|FunnelIndex(index)| self.live.get(*index).copied().flatten());
            for at in live {
                if let Some(visitors) = self.coming.get_mut(at) {
                    visitors.push(visitor);
                }
            }
        }
        for (funnel, visitors) in self.funnels.iter().zip(&mut self.coming) {
            funnel.fold().warm(visitors.drain(..));
        }
    }
}
