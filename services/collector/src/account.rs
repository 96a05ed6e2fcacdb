//! What the collector keeps of a site beside its plan: the handles of its metrics. Made with the keys (`keys`), so that a
//! request finds it with its key and counting costs no lookup by name.

use prometheus::IntCounter;

use crate::metrics::Metrics;

/// A site of the plan in force.
#[derive(Debug)]
pub(crate) struct Account {
    /// Its accepted events.
    pub(crate) accepted: IntCounter,
}

impl Account {
    /// Its series are shown from here on, at 0: a site that falls silent can be told from one that was never there.
    pub(crate) fn of(site: &str, metrics: &Metrics) -> Self {
        Self { accepted: metrics.site(site) }
    }
}
