//! Aggregators that come, go and freeze while clients send.

use std::time::{Duration, Instant};

use event_log::kafka::SESSION_TIMEOUT_MS;
use runtime::now_ms;

use crate::cluster::Cluster;
use crate::judge::Truth;
use crate::load::{Load, Pace};
use crate::{SHOP, alone, seed};

#[test]
fn aggregators_that_come_go_freeze_and_wake_change_no_number() {
    let _alone = alone();
    let mut cluster = Cluster::start(SHOP, 1);
    let others = cluster.load_visitors();
    let history_since_ms = now_ms();
    let load = Load::start(cluster.collector.address("--listen"), Pace::STEADY, seed());
    load.until_more(500);

    let began = Instant::now();
    (1..3).for_each(|instance| cluster.add_aggregator(instance));
    cluster.until("three share the partitions", |cluster| {
        let owned = |part| cluster.metrics(part).map(|text| crate::cluster::value(&text, PARTITIONS_OF, &[]));
        cluster.aggregators.values().all(|part| owned(part).is_some_and(|owned| owned >= 1.0))
    });
    cluster.until_whole(&load);
    println!("  1 -> 3: whole after {:.1} s", began.elapsed().as_secs_f64());

    let began = Instant::now();
    cluster.aggregators[&1].freeze();
    let silence = Duration::from_millis(SESSION_TIMEOUT_MS) * 2;
    let others_have_all = |cluster: &Cluster| {
        let others = cluster.aggregators.iter().filter(|(instance, _)| **instance != 1);
        let live = others.filter_map(|(_, part)| cluster.metrics(part));
        live.map(|text| crate::cluster::value(&text, PARTITIONS_OF, &["state=\"live\""])).sum::<f64>()
            == f64::from(crate::cluster::PARTITIONS)
    };
    cluster.until("the others serve what the frozen one had", |cluster| others_have_all(cluster));
    println!(
        "  one of 3 frozen: the others have its partitions after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    // It wakes as a member that the group has given up, with writes half done.
    std::thread::sleep(silence.saturating_sub(began.elapsed()));
    load.until_more(200);
    let woken = Instant::now();
    cluster.aggregators[&1].thaw();
    load.until_more(200);
    cluster.until_whole(&load);
    println!(
        "  woken after {:.1} s: whole {:.1} s later",
        (woken - began).as_secs_f64(),
        woken.elapsed().as_secs_f64()
    );

    let began = Instant::now();
    cluster.aggregators.get_mut(&2).unwrap().kill();
    cluster.aggregators.remove(&2);
    cluster.until_whole(&load);
    println!("  3 -> 2 by kill -9 for good: whole after {:.1} s", began.elapsed().as_secs_f64());

    let began = Instant::now();
    cluster.remove_aggregator(0);
    cluster.until_whole(&load);
    println!("  2 -> 1 by an orderly end: whole after {:.1} s", began.elapsed().as_secs_f64());

    load.until_more(200);
    let acknowledged = load.stop();
    cluster.judge(&Truth { plan: SHOP, acknowledged, others, history_since_ms });
    cluster.stop();
}

const PARTITIONS_OF: &str = "rungs_aggregator_partitions";
