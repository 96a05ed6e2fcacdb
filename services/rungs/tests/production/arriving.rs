//! Many events and no faults: the example's clickstream and generated events through a collector and two aggregators.

use std::time::{Duration, Instant};

use runtime::now_ms;

use crate::cluster::Cluster;
use crate::judge::{FUNNEL, Truth};
use crate::load::{Load, Pace};
use crate::program::CLICKSTREAM_COLUMNS;
use crate::program::answers::visitors;
use crate::{SHOP, alone, number, seed};

const CLICKSTREAM: &str = "examples/shop/clickstream.csv.gz";
const CLICKSTREAM_EVENTS: usize = 31_106;
const AS_OF_MS: &str = "1715731200000";
/// Of the clickstream at that time, as computed independently over the file.
const KNOWN: [(&str, [u64; 5]); 3] =
    [("24h", [28, 12, 4, 2, 0]), ("7d", [158, 61, 25, 11, 1]), ("28d", [417, 214, 120, 46, 16])];

#[test]
fn the_clickstream_and_many_events_through_two_aggregators_give_the_definitions_numbers() {
    let _alone = alone();
    let events = number("RUNGS_FAULT_EVENTS", 300_000) as usize;
    let mut cluster = Cluster::start(SHOP, 2);
    cluster.import(CLICKSTREAM);
    for (window, known) in KNOWN {
        let (status, answer) = cluster.live(FUNNEL, &[("window", window), ("as_of", AS_OF_MS)]).unwrap();
        assert_eq!((status, visitors(&answer)), (200, known.to_vec()), "{window}");
    }
    let began = (now_ms(), Instant::now());
    let pace = Pace {
        clients: 4,
        visitors_of_a_client: (events / 80) as u32,
        batch: 1_000,
        pause: Duration::ZERO,
        events_of_a_client: events / 4,
    };
    let load = Load::start(cluster.collector.address("--listen"), pace, seed());
    let acknowledged = load.finish();
    println!("  {events} events acknowledged in {:.1} s", began.1.elapsed().as_secs_f64());
    let truth = Truth { plan: SHOP, acknowledged, others: CLICKSTREAM_EVENTS, history_since_ms: began.0 };
    cluster.judge(&truth);
    cluster.stop();
}

impl Cluster {
    fn import(&self, file: &str) {
        let collector = format!("http://{}", self.collector.address("--listen"));
        let target = ["import", "--url", &collector, "--key", "sk_shop_demo", "--site", "shop"];
        let imported = self.run(&[&target[..], &CLICKSTREAM_COLUMNS, &[file]].concat());
        assert!(imported.ok, "{}{}\n{}", imported.out, imported.err, self.tails());
    }
}
