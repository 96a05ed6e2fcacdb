//! A collector that does not come back, and what it left in its spill: `rungs collector --drain-only` hands it over.

use std::time::{Duration, Instant};

use event_log::kafka::KafkaSettings;
use kafka_server::{Kafka, Options};
use tempfile::TempDir;

use crate::part::Part;
use crate::{SHOP, alone, cluster, topic};

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
        let properties = cluster::BROKER.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let kafka = Kafka::with(&Options { properties, ..Options::default() });
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let scene = Self { kafka, folder, runtime };
        let plan = scene.folder.path().join("plan.toml");
        std::fs::write(&plan, SHOP).unwrap();
        let mut apply = scene.part("plan", &["apply", plan.to_str().unwrap()], &[]);
        apply.spawn();
        assert_eq!(apply.ended(), Some(0), "{}", apply.tail());
        scene
    }

    /// A process; what it says is in a log of its own.
    fn part(&self, command: &str, arguments: &[&str], addresses: &[&'static str]) -> Part {
        let environment = vec![
            ("RUNGS_KAFKA__BROKERS", self.kafka.bootstrap()),
            ("RUNGS_KAFKA__PARTITIONS", "2".to_owned()),
            ("RUNGS_KAFKA__REPLICATION", "1".to_owned()),
        ];
        let number = std::fs::read_dir(self.folder.path()).unwrap().count();
        let log = self.folder.path().join(format!("{number}-{command}.log"));
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

    /// Events in the topic, and how many copies of them.
    fn events(&self) -> (u64, usize) {
        let mut settings = KafkaSettings::new(self.kafka.bootstrap());
        (settings.partitions, settings.replication) = (2, 1);
        let (events, copies) = topic::read(&settings);
        (events.len() as u64, copies)
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
    let began_at = Instant::now();
    let told = |what: &str| println!("  {what} after {:.1} s", began_at.elapsed().as_secs_f64());
    let mut scene = Scene::new();
    told("Kafka has a plan");
    let client = reqwest::Client::new();
    let mut collector = scene.collector("left", &[], &["--listen", "--admin"]);
    collector.start();
    let readyz = format!("http://{}/readyz", collector.address("--admin"));
    scene.until("the plan is loaded", &collector, || scene.status(client.get(&readyz)) == Some(200));

    told("the collector is ready");
    scene.kafka.kill(0);
    let url = format!("http://{}/v1/track", collector.address("--listen"));
    for number in 0..EVENTS {
        let event =
            format!("{{\"event\":\"cart\",\"anonymousId\":\"v{number}\",\"messageId\":\"m{number}\"}}");
        let request = client.post(&url).basic_auth("wk_shop_demo", Some("")).body(event);
        assert_eq!(scene.status(request), Some(200), "{}", collector.tail());
    }
    told("events are spilled");
    assert_eq!(collector.stop(), Some(0), "{}", collector.tail());
    told("the collector has ended");

    // It takes no events meanwhile, waits for Kafka, and tells what is left when it is not to wait.
    let began = || {
        let mut drain = scene.collector("left", &["--drain-only"], &["--admin"]);
        drain.spawn();
        let says = format!("records: {EVENTS};");
        scene.until("it says what it does", &drain, || drain.said().contains(&says));
        drain
    };
    let mut drain = began();
    let taken = scene.status(client.post(&url).basic_auth("wk_shop_demo", Some("")).body("{}"));
    assert_eq!(taken, None);
    assert_eq!(drain.stop(), Some(1), "{}", drain.tail());
    assert!(drain.said().contains(&format!("is not empty, records: {EVENTS};")), "{}", drain.tail());

    told("the first drain is stopped");
    let mut drain = began();
    scene.kafka.restart(0);
    told("Kafka is back");
    assert_eq!(drain.ended(), Some(0), "{}", drain.tail());
    told("the spill is drained");
    assert_eq!(scene.events(), (EVENTS, 0));
    let mut again = scene.collector("left", &["--drain-only"], &["--admin"]);
    again.spawn();
    assert_eq!(again.ended(), Some(0), "{}", again.tail());
    assert!(again.said().contains("records: 0;"), "{}", again.tail());
}

#[test]
fn a_folder_without_a_spill_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("elsewhere");
    let arguments = ["collector", "--drain-only", "--data-dir", wrong.to_str().unwrap()];
    let brokers = vec![("RUNGS_KAFKA__BROKERS", "127.0.0.1:1".to_owned())];
    let mut drain = Part::new("drain", &arguments, &["--admin"], brokers, folder.path().join("drain.log"));
    drain.spawn();
    assert_eq!(drain.ended(), Some(1), "{}", drain.tail());
    assert!(drain.said().contains("holds no spill"), "{}", drain.tail());
    assert!(!wrong.exists(), "it made the folder");
}
