//! What the collector keeps of a site beside its plan: the handles of its metrics, the buckets of its limits, its share of
//! the bytes in flight. Made with the keys (`keys`), so that a request finds it with its key and nothing is looked up by
//! name.

use std::sync::Arc;

use funnel::plan::{CompiledSchema, Rule, Site, SiteSchema};
use prometheus::IntCounter;

use crate::body::SiteShare;
use crate::metrics::Metrics;
use crate::quota::SiteQuota;
use crate::rejection::{Reason, Rejection};

/// A site of the plan in force.
#[derive(Debug)]
pub(crate) struct Account {
    /// Its accepted events.
    pub(crate) accepted: IntCounter,
    pub(crate) quota: Arc<SiteQuota>,
    /// What its events are held to; none where its plan names no events.
    pub(crate) schema: Option<AccountSchema>,
    /// None where it is the only site.
    pub(crate) share: Option<Arc<SiteShare>>,
}

/// A site's schema, compiled, and the counters of what breaks it.
#[derive(Debug)]
pub(crate) struct AccountSchema {
    pub(crate) compiled: CompiledSchema,
    violations: Vec<(Reason, IntCounter)>,
}

impl AccountSchema {
    fn of(site: &str, schema: &SiteSchema, metrics: &Metrics) -> Self {
        let reasons = [Rule::PlannedEvent, Rule::Required, Rule::DataType, Rule::PlannedProperty];
        let violations =
            reasons.map(Reason::of_rule).map(|reason| (reason, metrics.schema_violations(site, reason)));
        Self { compiled: CompiledSchema::new(schema), violations: violations.into() }
    }

    /// Counts what an event broke.
    pub(crate) fn count(&self, broken: &[Rejection]) {
        for rejection in broken {
            if let Some((_, counter)) = self.violations.iter().find(|(reason, _)| *reason == rejection.reason)
            {
                counter.inc();
            }
        }
    }
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
            schema: site.schema.as_ref().map(|schema| AccountSchema::of(&site.id, schema, metrics)),
            quota: quota
                .filter(|quota| quota.limits() == site.limits)
                .unwrap_or_else(|| Arc::new(SiteQuota::of(&site.id, site.limits, metrics))),
            share: share
                .filter(|share| max_share == Some(share.max()))
                .or_else(|| max_share.map(SiteShare::new).map(Arc::new)),
        }
    }
}
