//! Another log under the same plan: a topic of events that is made anew, or has more partitions. The plan is announced there under the
//! number that it had on the log before, whose rows are of larger offsets and are all still there.

use event_log::kafka::KafkaSettings;
use runtime::now_ms;

use crate::cluster::{Cluster, PARTITIONS};
use crate::judge::{FUNNEL, Model};
use crate::load::{Load, Pace};
use crate::part::Part;
use crate::program::expected::Stored;
use crate::program::sending::{Event, Form, acknowledged};
use crate::{SHOP, alone, seed, topic};

const TOPIC: &str = "rungs.events.v1";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
/// Partitions after the change.
const MORE: u32 = 6;
const VISITORS: usize = 200;
const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

impl Cluster {
    /// Deletes the topic while nobody uses it, starts everything again and applies the plan that is in force.
    fn make_the_log_anew(&mut self) {
        self.end_users_of_the_log();
        self.kafka.tool(TOPICS, &["--delete", "--topic", TOPIC]);
        self.until("the topic is gone", |cluster| {
            cluster.kafka.tool(TOPICS, &["--list"]).lines().all(|line| line != TOPIC)
        });
        self.begin_on_the_log();
        self.until_ready();
    }

    fn end_users_of_the_log(&mut self) {
        let parts = std::iter::once(&mut self.collector).chain(self.aggregators.values_mut());
        let codes: Vec<_> = parts.map(Part::stop).collect();
        assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?}\n{}", self.tails());
    }

    fn begin_on_the_log(&mut self) {
        self.collector.start();
        self.aggregators.values_mut().for_each(Part::start);
        self.apply(SHOP);
    }

    /// As docs/operations.md says: more partitions of the same topic, the plan again, and the funnels anew.
    fn add_partitions(&mut self) {
        self.end_users_of_the_log();
        self.kafka.tool(TOPICS, &["--alter", "--topic", TOPIC, "--partitions", &MORE.to_string()]);
        self.until("the group has no members", |cluster| {
            let arguments = ["--describe", "--members", "--all-groups"];
            !cluster.kafka.tool(GROUPS, &arguments).contains("aggregator-")
        });
        self.change_settings(&format!("partitions = {PARTITIONS}"), &format!("partitions = {MORE}"));
        self.begin_on_the_log();
        self.until("all partitions are served, and everything in them is taken", |cluster| {
            cluster.sum("rungs_aggregator_partitions", &["state=\"live\""]) == Some(f64::from(MORE))
                && cluster.sum("rungs_aggregator_lag_records", &[]) == Some(0.0)
        });
        let collector = format!("http://{}", self.collector.address("--listen"));
        let ordered = self.run(&["rebuild", "--url", &collector, "--key", "sk_shop_demo", "--site", "shop"]);
        assert!(ordered.ok, "{}{}", ordered.out, ordered.err);
    }

    /// Waits until the topic has so many events, which may have to come out of the spill; all of them.
    fn until_logged(&mut self, partitions: u32, count: usize) -> Vec<Stored> {
        let mut logged = Vec::new();
        self.until(&format!("the topic has {count} events"), |cluster| {
            let settings = KafkaSettings { partitions, ..cluster.kafka_settings() };
            (logged, _) = topic::read(&settings);
            logged.len() == count
        });
        logged.into_iter().map(|logged| logged.event).collect()
    }

    /// Sends an event of each of always the same visitors.
    fn send(&self, name: &str, number: usize) {
        let event = |visitor: usize| Event {
            visitor: format!("visitor {visitor}"),
            event: name.to_owned(),
            id: format!("{name} {number} {visitor}"),
            at_ms: Some(now_ms()),
            channel: "email".to_owned(),
        };
        let events: Vec<Event> = (0..VISITORS).map(event).collect();
        let collector = format!("http://{}", self.collector.address("--listen"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let request = Form::Ndjson.request(&reqwest::Client::new(), &collector, "wk_shop_demo", &events);
        assert_eq!(runtime.block_on(acknowledged(request)), Some(events.len() as u64));
    }
}

#[test]
fn on_a_topic_that_was_made_anew_the_same_plan_counts_as_if_there_had_been_one_log() {
    let _alone = alone();
    let mut cluster = Cluster::start(SHOP, 2);
    let load = Load::start(cluster.collector.address("--listen"), Pace::STEADY, seed());
    load.until_more(3_000);
    let loaded: usize = load.stop().iter().map(Vec::len).sum();
    (0..3).for_each(|number| cluster.send("catalog", number));
    let mut events = cluster.until_logged(PARTITIONS, loaded + 3 * VISITORS);
    cluster.check_live(FUNNEL, &Model::new(SHOP, "purchase", &events));

    cluster.make_the_log_anew();
    cluster.check_live(FUNNEL, &Model::new(SHOP, "purchase", &events));
    cluster.send("product_view", 0);
    events.extend(cluster.until_logged(PARTITIONS, VISITORS));
    cluster.check_live(FUNNEL, &Model::new(SHOP, "purchase", &events));
    for part in cluster.aggregators.values_mut() {
        part.kill();
        part.start();
    }
    cluster.until_ready();
    cluster.check_live(FUNNEL, &Model::new(SHOP, "purchase", &events));
    cluster.stop();
}

#[test]
fn with_more_partitions_the_plan_and_a_rebuild_count_everything_once() {
    let _alone = alone();
    let mut cluster = Cluster::start(SHOP, 2);
    let load = Load::start(cluster.collector.address("--listen"), Pace::STEADY, seed());
    load.until_more(3_000);
    let loaded: usize = load.stop().iter().map(Vec::len).sum();
    cluster.send("catalog", 0);
    let events = cluster.until_logged(PARTITIONS, loaded + VISITORS);
    cluster.check_live(FUNNEL, &Model::new(SHOP, "purchase", &events));

    cluster.add_partitions();
    cluster.check_live(FUNNEL, &Model::new(SHOP, "purchase", &events));
    cluster.send("product_view", 0);
    let events = cluster.until_logged(MORE, loaded + 2 * VISITORS);
    cluster.check_live(FUNNEL, &Model::new(SHOP, "purchase", &events));
    cluster.stop();
}
