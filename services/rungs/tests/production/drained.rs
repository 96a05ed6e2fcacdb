//! A collector that does not come back, and what it left in its spill: `rungs collector --drain-only` hands it over.

use std::time::{Duration, Instant};

use kafka_server::Kafka;
use tempfile::TempDir;

use crate::part::Part;
use crate::{SHOP, alone};

const EVENTS: u64 = 25;
const LIMIT: Duration = Duration::from_secs(60);

struct Scene {
    kafka: Kafka,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    /// A Kafka with the shop's plan.
    fn new() -> Self {
        let (kafka, folder) = (Kafka::start(), tempfile::tempdir().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let scene = Self { kafka, folder, runtime };
        let plan = scene.folder.path().join("plan.toml");
        std::fs::write(&plan, SHOP).unwrap();
        let mut apply = scene.part("plan", &["apply", plan.to_str().unwrap()], &[]);
        apply.spawn();
        assert_eq!(apply.ended(), Some(0), "{}", apply.tail());
        scene
    }

    fn part(&self, command: &str, arguments: &[&str], addresses: &[&'static str]) -> Part {
        let environment = vec![
            ("RUNGS_KAFKA__BROKERS", self.kafka.bootstrap()),
            ("RUNGS_KAFKA__PARTITIONS", "2".to_owned()),
            ("RUNGS_KAFKA__REPLICATION", "1".to_owned()),
        ];
        let log = self.folder.path().join(format!("{command}.log"));
        Part::new(command, &[&[command], arguments].concat(), addresses, environment, log)
    }

    /// The collector whose spill is in `folder`, or what drains that.
    fn collector(&self, folder: &str, more: &[&str], addresses: &[&'static str]) -> Part {
        let folder = self.folder.path().join(folder);
        self.part("collector", &[&["--data-dir", folder.to_str().unwrap()], more].concat(), addresses)
    }

    fn status(&self, request: reqwest::RequestBuilder) -> Option<u16> {
        self.runtime.block_on(async { Some(request.send().await.ok()?.status().as_u16()) })
    }

    /// Records in the topic of events, over its partitions.
    fn records(&self) -> u64 {
        let ends = self.kafka.tool("org.apache.kafka.tools.GetOffsetShell", &["--topic", "rungs.events.v1"]);
        ends.lines().map(|line| line.rsplit(':').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    fn until(&self, what: &str, part: &Part, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !holds() {
            assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}\n{}", part.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn the_spill_of_a_collector_that_does_not_come_back_is_handed_over_once() {
    let _alone = alone();
    let mut scene = Scene::new();
    let before = scene.records();
    let client = reqwest::Client::new();
    let mut collector = scene.collector("left", &[], &["--listen", "--admin"]);
    collector.start();
    let readyz = format!("http://{}/readyz", collector.address("--admin"));
    scene.until("the plan is loaded", &collector, || scene.status(client.get(&readyz)) == Some(200));

    scene.kafka.kill(0);
    let url = format!("http://{}/v1/track", collector.address("--listen"));
    for number in 0..EVENTS {
        let event =
            format!("{{\"event\":\"cart\",\"anonymousId\":\"v{number}\",\"messageId\":\"m{number}\"}}");
        let request = client.post(&url).basic_auth("wk_shop_demo", Some("")).body(event);
        assert_eq!(scene.status(request), Some(200), "{}", collector.tail());
    }
    assert_eq!(collector.stop(), Some(0), "{}", collector.tail());

    // It waits for Kafka, and takes no events meanwhile.
    let mut drain = scene.collector("left", &["--drain-only"], &["--admin"]);
    drain.spawn();
    let hands = format!("records: {EVENTS};");
    scene.until("it says what it does", &drain, || drain.said().contains(&hands));
    let taken = scene.status(client.post(&url).basic_auth("wk_shop_demo", Some("")).body("{}"));
    assert_eq!(taken, None);
    scene.kafka.restart(0);
    assert_eq!(drain.ended(), Some(0), "{}", drain.tail());
    assert_eq!(scene.records() - before, EVENTS);

    let mut again = scene.collector("left", &["--drain-only"], &["--admin"]);
    again.spawn();
    assert_eq!(again.ended(), Some(0), "{}", again.tail());
    assert_eq!(scene.records() - before, EVENTS, "nothing was left");
}

#[test]
fn a_folder_without_a_spill_is_refused_and_a_drain_that_is_stopped_tells_what_is_left() {
    let _alone = alone();
    let mut scene = Scene::new();
    let mut wrong = scene.collector("elsewhere", &["--drain-only"], &["--admin"]);
    wrong.spawn();
    assert_eq!(wrong.ended(), Some(1), "{}", wrong.tail());
    assert!(wrong.said().contains("holds no spill"), "{}", wrong.tail());
    assert!(!scene.folder.path().join("elsewhere").exists());

    let client = reqwest::Client::new();
    let mut collector = scene.collector("left", &[], &["--listen", "--admin"]);
    collector.start();
    let readyz = format!("http://{}/readyz", collector.address("--admin"));
    scene.until("the plan is loaded", &collector, || scene.status(client.get(&readyz)) == Some(200));
    scene.kafka.kill(0);
    let event = "{\"event\":\"cart\",\"anonymousId\":\"v\",\"messageId\":\"m\"}";
    let url = format!("http://{}/v1/track", collector.address("--listen"));
    let request = client.post(url).basic_auth("wk_shop_demo", Some("")).body(event);
    assert_eq!(scene.status(request), Some(200));
    assert_eq!(collector.stop(), Some(0), "{}", collector.tail());

    let mut drain = scene.collector("left", &["--drain-only"], &["--admin"]);
    drain.spawn();
    scene.until("it says what it does", &drain, || drain.said().contains("records: 1;"));
    assert_eq!(drain.stop(), Some(1), "{}", drain.tail());
    assert!(drain.said().contains("is not empty, records: 1;"), "{}", drain.tail());
}
