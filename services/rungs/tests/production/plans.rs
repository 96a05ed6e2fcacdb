//! Plans that are applied while everything runs.

use std::time::{Duration, Instant};

use runtime::now_ms;

use crate::cluster::{Cluster, PARTITIONS};
use crate::judge::{FUNNEL, Model, Truth};
use crate::load::{Load, Pace};
use crate::{SHOP, alone, seed, topic};

/// A plan is in force everywhere within this time.
const IN_FORCE: Duration = Duration::from_secs(5);
const AGAIN: &str = "shop/again";

/// The shop's plan with a second funnel of the same definition, and a second key.
fn more() -> String {
    let funnel = &SHOP[SHOP.find("[[funnels]]").unwrap()..];
    let again = funnel.replacen("id = \"purchase\"", "id = \"again\"", 1);
    let keys = SHOP.replacen("[\"wk_shop_demo\"]", "[\"wk_shop_demo\", \"wk_second\"]", 1);
    assert!(keys != SHOP && again != funnel);
    format!("{keys}\n{again}")
}

impl Cluster {
    /// Whether the collector takes the second key, the console has the second funnel, and every partition counts it or is
    /// building it.
    fn has_the_plan(&self) -> [bool; 3] {
        let collector = format!("http://{}/v1/events?key=wk_second", self.collector.address("--listen"));
        let console = format!("http://{}/api/v1/funnels", self.console.address("--console"));
        let console = self.get(console.parse().unwrap());
        let states = "SELECT uniqExact(log_partition) FROM progress WHERE funnel = 'again'";
        [
            self.post(&collector, "[]") == Some(200),
            console.is_some_and(|(_, text)| text.contains("again")),
            self.clickhouse(states) == Some(PARTITIONS.to_string()),
        ]
    }
}

#[test]
fn a_plan_is_in_force_everywhere_at_once_and_a_funnel_that_comes_later_counts_from_the_start() {
    let _alone = alone();
    let mut cluster = Cluster::start(SHOP, 2);
    let history_since_ms = now_ms();
    let load = Load::start(cluster.collector.address("--listen"), Pace::STEADY, seed());
    load.until_more(2_000);

    let plan = more();
    assert_ne!(cluster.has_the_plan(), [true; 3]);
    cluster.apply(&plan);
    let applied = Instant::now();
    let seen = |cluster: &Cluster| {
        format!("[collector, console, aggregators] have it: {:?}", cluster.has_the_plan())
    };
    cluster.until_or(|cluster| seen(cluster), |cluster| cluster.has_the_plan() == [true; 3]);
    let took = applied.elapsed();
    cluster.until("the new funnel is ready", |cluster| {
        let answer = cluster.live(AGAIN, &[("window", "24h")]);
        answer
            .is_some_and(|(status, live)| status == 200 && live["state"] == "ready" && live["as_of"].is_i64())
    });
    println!(
        "  in force everywhere {:.1} s after it was applied, the new funnel ready after {:.1} s",
        took.as_secs_f64(),
        applied.elapsed().as_secs_f64()
    );
    assert!(took < IN_FORCE, "{took:?}");
    load.until_more(2_000);

    let acknowledged = load.stop();
    cluster.judge(&Truth { plan: &plan, acknowledged, others: 0, history_since_ms });
    let (logged, _) = topic::read(&cluster.kafka_settings());
    let events: Vec<_> = logged.into_iter().map(|logged| logged.event).collect();
    cluster.check_live(AGAIN, &Model::new(&plan, "again", &events));
    let steps = |cluster: &Cluster, funnel: &str| {
        cluster
            .live(funnel, &[("window", "24h"), ("breakdown", "channel")])
            .map(|(_, answer)| answer["steps"].clone())
    };
    cluster.until("both funnels agree", |cluster| {
        let (one, other) = (steps(cluster, FUNNEL), steps(cluster, AGAIN));
        one.is_some() && one == other
    });
    cluster.stop();
}
