//! An aggregator that is killed and started again, and one whose partitions another one takes over, with the journeys of
//! all visitors to be read back.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, PARTITIONS, Service, within};
use crate::BenchError;
use crate::table::{Row, grouped};

const GOAL_RESTART_S: f64 = 5.0;
const GOAL_TAKEOVER_S: f64 = 10.0;
const LIMIT: Duration = Duration::from_secs(180);

/// Both, one after the other.
pub(super) fn run(cluster: &Cluster, aggregator: Service, show: &dyn Fn(Row)) -> Result<(), BenchError> {
    settle(&aggregator)?;
    let state = cluster.count("SELECT uniqExact(visitor) FROM rungs.journeys")?;
    let rows = cluster.count("SELECT uniqExact(funnel, visitor) FROM rungs.journeys")?;
    let note = format!("{} visitors, {} journeys", grouped(state as f64), grouped(rows as f64));
    // Killed: dropping it is SIGKILL.
    drop(aggregator);
    let began = Instant::now();
    let aggregator = cluster.aggregator("bench-0")?;
    let all = || aggregator.live_partitions() >= f64::from(PARTITIONS);
    within(LIMIT, "all partitions are live again", all)?;
    let taken = began.elapsed().as_secs_f64();
    show(Row::goal(
        "kafka: restart after kill -9, all partitions live",
        format!("{taken:.1} s"),
        "< 5 s",
        taken < GOAL_RESTART_S,
        note.clone(),
    ));
    let other = cluster.aggregator("bench-1")?;
    let half = f64::from(PARTITIONS) / 2.0;
    within(LIMIT, "two share the partitions", || {
        other.live_partitions() >= half && aggregator.live_partitions() >= half
    })?;
    settle(&aggregator)?;
    settle(&other)?;
    drop(other);
    let all = || aggregator.live_partitions() >= f64::from(PARTITIONS);
    let taken = within(LIMIT, "the other has all partitions", all)?.as_secs_f64();
    show(Row::goal(
        "kafka: kill -9 of one of two, the other has its partitions",
        format!("{taken:.1} s"),
        "< 10 s",
        taken < GOAL_TAKEOVER_S,
        note,
    ));
    Ok(())
}

/// Until journeys are flushed: one flush interval without lag.
fn settle(aggregator: &Service) -> Result<(), BenchError> {
    within(LIMIT, "nothing is left to read", || {
        aggregator.metric("rungs_aggregator_lag_records", "") == 0.0
    })?;
    Ok(())
}
