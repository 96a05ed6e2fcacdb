//! docker-compose.yml, started: everything becomes healthy in the order that it describes, the smoke test that is for
//! containers passes, visitors come, and everything ends in time.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::composed::Composed;
use crate::program::{Ended, root};
use crate::tools::{list, text, yaml};

const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

fn metrics(address: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let get = async { reqwest::get(format!("http://{address}/metrics")).await?.text().await };
    runtime.block_on(get).unwrap()
}

#[test]
fn what_the_compose_file_describes_works() {
    let mut composed = Composed::prepare();
    composed.up("");
    for service in ["collector", "aggregator-1", "aggregator-2", "console"] {
        composed.until_healthy(service);
    }

    let mut smoke = Command::new(root().join("scripts/compose-smoke"));
    smoke.arg("--checks").env_remove("RUNGS_CONSOLE__TOKEN");
    for (variable, service, port) in
        [("COLLECTOR", "collector", 8080), ("CONSOLE", "console", 8081), ("CLICKHOUSE", "clickhouse", 8123)]
    {
        smoke.env(format!("SMOKE_{variable}"), format!("http://{}", composed.address(service, port)));
    }
    smoke.envs([("SMOKE_PROMETHEUS", ""), ("SMOKE_GRAFANA", "")]);
    let smoke = Ended::of(smoke);
    assert!(smoke.ok, "{}{}\n{}", smoke.out, smoke.err, composed.tails());

    // Prometheus finds every service where its configuration says, and the two aggregators share the partitions.
    let configuration = yaml("observability/prometheus/prometheus.yml");
    let targets = list(&configuration, "/scrape_configs/0/static_configs/0/targets");
    let scraped = |composed: &Composed, target: &serde_json::Value| {
        let (service, port) = target.as_str().unwrap().split_once(':').unwrap();
        let text = metrics(composed.address(service, port.parse().unwrap()));
        assert!(text.contains("rungs_build_info"), "{service}");
        text
    };
    let live = |composed: &Composed| -> u64 {
        let texts: Vec<String> = targets.iter().map(|target| scraped(composed, target)).collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        let counts =
            lines.filter_map(|line| line.strip_prefix("rungs_aggregator_partitions{state=\"live\"} "));
        counts.map(|count| count.parse::<u64>().unwrap()).sum()
    };
    let partitions = text(&composed.services["collector"], "/environment/RUNGS_KAFKA__PARTITIONS");
    let deadline = Instant::now() + LIMIT;
    // Some may be on their way from one aggregator to the other, which joined a moment ago.
    while live(&composed).to_string() != partitions {
        assert!(Instant::now() < deadline, "not all partitions are live\n{}", composed.tails());
        std::thread::sleep(LOOK);
    }

    composed.up("demo");
    let deadline = Instant::now() + LIMIT;
    let accepted = |composed: &Composed| -> f64 {
        let text = metrics(composed.address("collector", 9464));
        let lines = text.lines();
        let counts =
            lines.filter_map(|line| line.strip_prefix("rungs_collector_events_total{outcome=\"accepted\"} "));
        counts.map(|count| count.parse::<f64>().unwrap()).sum()
    };
    while accepted(&composed) < 3.0 {
        assert!(Instant::now() < deadline, "no visitors come\n{}", composed.tails());
        std::thread::sleep(LOOK);
    }
    composed.stop();
}
