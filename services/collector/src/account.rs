//! What the collector keeps of a site beside its plan: the handles of its metrics, the buckets of its limits, its share of
//! the bytes in flight. Made with the keys (`keys`), so that a request finds it with its key and nothing is looked up by
//! name.

use std::sync::Arc;

use funnel::plan::Site;
use prometheus::IntCounter;

use crate::body::SiteShare;
use crate::metrics::Metrics;
use crate::quota::SiteQuota;

/// A site of the plan in force.
#[derive(Debug)]
pub(crate) struct Account {
    /// Its accepted events.
    pub(crate) accepted: IntCounter,
    pub(crate) quota: Arc<SiteQuota>,
    /// None where it is the only site.
    pub(crate) share: Option<Arc<SiteShare>>,
}

impl Account {
    /// Its series are shown from here on, at 0: a site that falls silent can be told from one that was never there.
    /// `max_share` are the bytes in flight that it may have. A limit that is as it was `before` goes on where it stood:
    /// another plan gives nobody a new burst.
    pub(crate) fn of(
        site: &Site,
        max_share: Option<usize>,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> Self {
        let quota = before.map(|before| Arc::clone(&before.quota));
        let share = before.and_then(|before| before.share.clone());
        Self {
            accepted: metrics.site(&site.id),
            quota: quota
                .filter(|quota| quota.limits() == site.limits)
                .unwrap_or_else(|| Arc::new(SiteQuota::of(&site.id, site.limits, metrics))),
            share: share
                .filter(|share| max_share == Some(share.max()))
                .or_else(|| max_share.map(SiteShare::new).map(Arc::new)),
        }
    }
}
