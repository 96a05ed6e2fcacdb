//! Makes sets of links for sites that join ids, and has their funnels built by them: when a plan asks for it, once in a while
//! ([`AggregatorSettings::link_interval_ms`](runtime::settings::AggregatorSettings)), after `rungs rebuild` and imports, and
//! soon after somebody was erased whom the newest set joins.
//!
//! Of all aggregators the one that serves partition 0 does so. Two at once do no harm: the set with the larger number counts.
//! What is due follows from what is stored, so that nothing is lost with a process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::{PlanRecord, PublishError, Publisher};
use funnel::Plan;
use funnel::intake::message_hash;
use funnel::plan::Identity;
use prometheus::IntGaugeVec;
use runtime::Shutdown;
use runtime::metrics::{Metrics, MetricsError};
use tokio::sync::watch;
use warehouse::links::{NewestSet, Rebuilt};
use warehouse::logs::KnownLog;
use warehouse::{Warehouse, WarehouseError};

use crate::lane::rebuilt_of_values;
use crate::snapshot::Board;

mod set;

pub use set::rows_of;

/// How often it is looked whether a set is due.
const LOOK: Duration = Duration::from_secs(2);
/// After a failure the site is looked at again after this long.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// A set that joins somebody who was erased is replaced within this share of the interval: an hour of a day.
const ERASED_SHARE: i64 = 24;
/// How often it is looked whether a set joins somebody who was erased, at most.
const ERASED_LOOK: Duration = Duration::from_secs(60);
/// Sites are not all built at once: their intervals differ by up to this share.
const SPREAD: i64 = 10;

/// Why a set could not be made.
#[derive(Debug, thiserror::Error)]
enum LinkingError {
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error("the log did not take the order to build by it: {0}")]
    Log(#[from] PublishError),
    #[error("joining its ids ended early: {0}")]
    Joining(#[from] tokio::task::JoinError),
}

/// Why a set is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    First,
    OtherLog,
    NotAnnounced,
    Ordered,
    Interval,
    Erased,
}

/// Makes sets of links.
pub(crate) struct Linking {
    pub(crate) warehouse: Warehouse,
    pub(crate) plans: watch::Receiver<Option<Arc<PlanRecord>>>,
    pub(crate) board: Board,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) log: KnownLog,
    pub(crate) interval_ms: i64,
    pub(crate) ids: IntGaugeVec,
}

/// Registers how many ids the sets join that this process made.
pub fn register(metrics: &Metrics) -> Result<IntGaugeVec, MetricsError> {
    metrics.gauge_vec(
        "rungs_aggregator_linked_ids",
        "Ids of the newest set of links of a site that this process made: joined, common (came with too many others to be a \
         person's), crowded (would have been a visitor of too many ids).",
        &["site", "state"],
    )
}

impl Linking {
    /// Runs until shutdown is requested.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        // When a site is looked at again, and when it was looked whether it joins somebody erased.
        let (mut again, mut looked) = (HashMap::new(), HashMap::new());
        let mut plan = (0, Vec::new());
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let record = self.plans.borrow().clone();
            let Some(record) = record.filter(|_| self.board.is_first_served()) else { continue };
            if record.number != plan.0 {
                // One that this build refuses is told of by the lanes.
                let Some(sites) = sites_of(&record) else { continue };
                plan = (record.number, sites);
                self.forget_others(&plan.1).await;
            }
            if plan.1.is_empty() {
                continue;
            }
            let rebuilt = match self.warehouse.rebuilt().await {
                // Some partition has not begun with this log.
                Ok(rebuilt) if rebuilt.len() < self.publisher.partitions() as usize => continue,
                Ok(rebuilt) => rebuilt,
                Err(error) => {
                    tracing::warn!(%error, "whether links of ids are due is not known; trying again");
                    continue;
                }
            };
            for site in &plan.1 {
                if again.get(site).is_some_and(|at| *at > Instant::now()) {
                    continue;
                }
                if let Err(error) = self.look(site, &rebuilt, &mut looked).await {
                    tracing::warn!(site, %error, "links of ids could not be found; trying again");
                    again.insert(site.clone(), Instant::now() + AFTER_FAILURE);
                }
            }
        }
    }

    async fn look(
        &self,
        site: &str,
        rebuilt: &[Rebuilt],
        looked: &mut HashMap<String, Instant>,
    ) -> Result<(), LinkingError> {
        let newest = self.warehouse.newest_link_set(site).await?;
        let interval_ms = self.interval_ms + self.spread_ms(site);
        let ordered = ordered(site, rebuilt);
        let mut due = due(newest.as_ref(), self.log.epoch, ordered, interval_ms);
        if let Some(newest) = newest.as_ref().filter(|newest| due.is_none() && self.may_join_erased(newest)) {
            let last = looked.get(site).copied();
            if last.is_none_or(|at: Instant| at.elapsed() >= self.erased_look()) {
                looked.insert(site.to_owned(), Instant::now());
                due = self.warehouse.joins_erased(site, newest).await?.then_some(Due::Erased);
            }
        }
        match due {
            Some(due) => self.make(site, newest.as_ref(), ordered, due).await,
            None => Ok(()),
        }
    }

    fn may_join_erased(&self, newest: &NewestSet) -> bool {
        newest.links > 0 && newest.age_ms >= self.interval_ms / ERASED_SHARE
    }

    fn erased_look(&self) -> Duration {
        ERASED_LOOK.min(Duration::from_millis((self.interval_ms / ERASED_SHARE).max(0).cast_unsigned()))
    }

    fn spread_ms(&self, site: &str) -> i64 {
        let most = (self.interval_ms / SPREAD).max(1).cast_unsigned();
        (message_hash(site) % most).cast_signed()
    }

    /// Removes the sets of sites that join no ids any more.
    async fn forget_others(&self, sites: &[String]) {
        let sites: Vec<&str> = sites.iter().map(String::as_str).collect();
        if let Err(error) = self.warehouse.remove_links_but_of(&sites).await {
            tracing::warn!(%error, "links of sites that join no ids any more could not be removed");
        }
    }
}

/// The plan's sites that join ids.
fn sites_of(record: &PlanRecord) -> Option<Vec<String>> {
    let plan = Plan::parse("tracking-plan.toml", &record.text).ok()?;
    let joins = |site: &&funnel::plan::Site| site.policy.identity == Identity::Links;
    Some(plan.sites.iter().filter(joins).map(|site| site.id.clone()).collect())
}

/// The last order to count the site anew that all partitions have: what stood before it in the log is stored.
fn ordered(site: &str, rebuilt: &[Rebuilt]) -> u64 {
    let of = |row: &Rebuilt| rebuilt_of_values(&row.values).get(site).copied().unwrap_or(0);
    rebuilt.iter().map(of).min().unwrap_or(0)
}

fn due(newest: Option<&NewestSet>, epoch: u32, ordered: u64, interval_ms: i64) -> Option<Due> {
    let Some(newest) = newest else { return Some(Due::First) };
    let reasons = [
        (Due::OtherLog, newest.log_epoch != epoch),
        (Due::NotAnnounced, !newest.announced),
        (Due::Ordered, ordered > newest.number),
        (Due::Interval, newest.age_ms >= interval_ms),
    ];
    reasons.into_iter().find(|(_, is_due)| *is_due).map(|(reason, _)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_due_when_what_is_stored_says_so() {
        let newest = NewestSet { number: 50, log_epoch: 2, links: 3, announced: true, age_ms: 900 };
        let of = |newest: &NewestSet, ordered| due(Some(newest), 2, ordered, 1_000);
        assert_eq!(due(None, 2, 0, 1_000), Some(Due::First));
        assert_eq!((of(&newest, 50), of(&newest, 51)), (None, Some(Due::Ordered)));
        assert_eq!(of(&NewestSet { age_ms: 1_000, ..newest.clone() }, 50), Some(Due::Interval));
        assert_eq!(of(&NewestSet { announced: false, ..newest.clone() }, 50), Some(Due::NotAnnounced));
        assert_eq!(of(&NewestSet { log_epoch: 1, ..newest }, 50), Some(Due::OtherLog));
    }

    #[test]
    fn an_order_counts_once_all_partitions_have_it() {
        let row = |values: &[&str]| Rebuilt {
            log_partition: 0,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let rebuilt = [row(&["70:shop", "90:blog"]), row(&["60:shop", "80:shop/buy"])];
        assert_eq!((ordered("shop", &rebuilt), ordered("blog", &rebuilt)), (60, 0));
    }
}
