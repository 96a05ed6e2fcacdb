//! Brokers and ClickHouse that do not answer for a while, their connections open, while clients send.

use std::time::{Duration, Instant};

use runtime::now_ms;

use crate::cluster::{Cluster, value};
use crate::judge::Truth;
use crate::load::{Load, Pace};
use crate::part::Part;
use crate::{SHOP, alone, outage, seed};

/// A request takes at most so long while the broker is frozen: the collector waits for it for two seconds, then stores
/// events itself; the rest is for the machine.
const SLOWEST: Duration = Duration::from_secs(8);
/// How much an aggregator may grow while ClickHouse is away: its part of `[kafka] fetch_buffer` is 32 MiB, and its lanes
/// hold the writes that wait.
const GROWTH_MIB: u64 = 96;
/// What fills up has done so by half of the time.
const LATE_GROWTH_MIB: u64 = 48;

/// The most that one of them grew.
fn growth(before: &[u64], now: &[u64]) -> u64 {
    before.iter().zip(now).map(|(before, now)| now.saturating_sub(*before)).max().unwrap_or(0)
}

impl Cluster {
    fn of_collector(&self, metric: &str) -> f64 {
        self.metrics(&self.collector).map_or(-1.0, |text| value(&text, metric, &[]))
    }

    /// Of each aggregator.
    fn memory_mib(&self) -> Vec<u64> {
        self.aggregators.values().map(Part::memory_mib).collect()
    }

    fn until_drained(&mut self) {
        self.until("the spill is drained", |cluster| {
            cluster.of_collector("rungs_collector_spill_records") == 0.0
                && cluster.of_collector("rungs_collector_spill_active") == 0.0
        });
    }
}

#[test]
fn while_the_broker_is_frozen_the_collector_goes_on_and_everything_arrives_in_order() {
    let _alone = alone();
    let mut cluster = Cluster::start(SHOP, 2);
    let others = cluster.load_visitors();
    let history_since_ms = now_ms();
    let load = Load::start(cluster.collector.address("--listen"), Pace::STEADY, seed());
    load.until_more(500);

    load.trouble();
    let began = Instant::now();
    cluster.kafka.freeze(0);
    cluster.until("the spill is used", |cluster| cluster.of_collector("rungs_collector_spill_records") > 0.0);
    load.until_more(500);
    std::thread::sleep(outage().saturating_sub(began.elapsed()));
    let (depth, age) = (
        cluster.of_collector("rungs_collector_spill_records"),
        cluster.of_collector("rungs_collector_spill_age_seconds"),
    );
    let (failures, slowest) = load.trouble();
    println!(
        "  frozen for {:.1} s: {depth} records in the spill, the oldest {age} s old; slowest request {slowest:?}",
        began.elapsed().as_secs_f64()
    );
    assert!(depth >= 500.0 && age > 1.0, "{depth} records, {age} s");
    assert_eq!(failures, 0, "requests that were not answered with 200");
    assert!(slowest < SLOWEST, "{slowest:?}");
    let thawed = Instant::now();
    cluster.kafka.thaw(0);
    cluster.until_drained();
    let drained = thawed.elapsed();
    cluster.until_whole(&load);
    println!(
        "  thawed: drained after {:.1} s, whole after {:.1} s",
        drained.as_secs_f64(),
        thawed.elapsed().as_secs_f64()
    );

    // The same once more, and the collector is killed in between.
    let began = Instant::now();
    cluster.kafka.freeze(0);
    cluster.until("the spill is used", |cluster| cluster.of_collector("rungs_collector_spill_records") > 0.0);
    load.until_more(200);
    cluster.collector.kill();
    let restarting = Instant::now();
    cluster.collector.start();
    load.until_more(1);
    println!(
        "  collector killed without Kafka: acknowledging {:.1} s after its start",
        restarting.elapsed().as_secs_f64()
    );
    load.until_more(200);
    std::thread::sleep(outage().saturating_sub(began.elapsed()));
    let thawed = Instant::now();
    cluster.kafka.thaw(0);
    cluster.until_drained();
    cluster.until_whole(&load);
    println!("  thawed: whole after {:.1} s", thawed.elapsed().as_secs_f64());

    let acknowledged = load.stop();
    cluster.judge(&Truth { plan: SHOP, acknowledged, others, history_since_ms });
    cluster.stop();
}

#[test]
fn while_clickhouse_is_frozen_or_stopped_memory_stays_flat_and_history_is_complete_afterwards() {
    let _alone = alone();
    let mut cluster = Cluster::start(SHOP, 2);
    let others = cluster.load_visitors();
    let history_since_ms = now_ms();
    // More than a steady load: what an aggregator could hold in memory is to be noticed.
    let pace = Pace { batch: 100, visitors_of_a_client: 20_000, ..Pace::STEADY };
    let load = Load::start(cluster.collector.address("--listen"), pace, seed());
    load.until_more(5_000);
    load.trouble();

    for frozen in [true, false] {
        let (began, before) = (Instant::now(), cluster.memory_mib());
        if frozen {
            cluster.clickhouse.freeze()
        } else {
            assert_eq!(cluster.clickhouse.stop(), Some(0))
        }
        std::thread::sleep(outage() / 2);
        let halfway = cluster.memory_mib();
        std::thread::sleep(outage() / 2);
        load.until_more(5_000);
        let lag = cluster.sum("rungs_aggregator_lag_records", &[]).unwrap();
        let now = cluster.memory_mib();
        let (grown, late) = (growth(&before, &now), growth(&halfway, &now));
        let away = began.elapsed().as_secs_f64();
        let back = Instant::now();
        if frozen {
            cluster.clickhouse.thaw()
        } else {
            cluster.clickhouse.start()
        }
        load.until_more(1);
        cluster.until_whole(&load);
        println!(
            "  ClickHouse {} for {away:.1} s: lag {lag} records, {grown} MiB more memory, {late} of them in the second \
             half; whole {:.1} s after",
            if frozen { "frozen" } else { "stopped" },
            back.elapsed().as_secs_f64()
        );
        assert!(lag > 1_000.0, "a lag of {lag} records");
        assert!(grown < GROWTH_MIB, "an aggregator grew by {grown} MiB");
        assert!(late < LATE_GROWTH_MIB, "an aggregator grew by {late} MiB in the second half");
    }
    let (failures, slowest) = load.trouble();
    assert_eq!(failures, 0, "requests that were not answered with 200; the slowest took {slowest:?}");
    let acknowledged = load.stop();
    cluster.judge(&Truth { plan: SHOP, acknowledged, others, history_since_ms });
    cluster.stop();
}
