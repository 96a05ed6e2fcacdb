//! Raw events that builds leave out because folding them panicked, a defect of this program. A build that met one is begun
//! again without it; all builds of the partition in this process know it. Used by [`crate::build`] and whoever drives it.
//!
//! Live records that panic are [`crate::screened`]'s: this is for those that ClickHouse has already, which the log may have
//! forgotten, and which other funnels count.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use warehouse::raw::RawEvent;

/// A raw event that made a build's fold panic: its funnel is in no state to go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("counting the raw event {} of site {site} panicked: {cause}. Builds leave it out from now on", .event.message_id)]
pub struct PanickedRaw {
    pub site: String,
    pub event: Box<RawEvent>,
    pub cause: String,
}

/// (site, visitor, message)
type Name = (String, String, String);

/// The raw events of a partition that are left out. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RefusedRaw(Arc<RwLock<BTreeSet<Name>>>);

impl RefusedRaw {
    /// Leaves an event out from now on; whether it was not known before.
    pub fn add(&self, site: &str, event: &RawEvent) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name(site, event))
    }

    /// Whether it is left out.
    pub fn contains(&self, site: &str, event: &RawEvent) -> bool {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // Nearly always; names are made of copies.
        !names.is_empty() && names.contains(&name(site, event))
    }
}

fn name(site: &str, event: &RawEvent) -> Name {
    (site.to_owned(), event.visitor_id.clone(), event.message_id.clone())
}
