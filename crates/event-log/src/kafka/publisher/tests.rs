//! A producer on the brokers that librdkafka brings along for tests: they answer as they are told.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::kafka::producer::{LEADER_LIMIT, has_leader};

/// Longer than anything takes here.
const LIMIT: Duration = Duration::from_secs(60);
const BLIND_LIMIT: Duration = Duration::from_secs(3);
const UNKNOWN_TOPIC: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
const NOT_LEADER: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;

struct Scene {
    brokers: MockCluster<'static, DefaultProducerContext>,
    topic: String,
    publisher: KafkaPublisher,
}

impl Scene {
    fn new() -> Self {
        let brokers = MockCluster::new(1).unwrap();
        let mut settings = KafkaSettings::new(brokers.bootstrap_servers());
        settings.partitions = 2;
        settings.options.insert("message.timeout.ms".to_owned(), "1000".to_owned());
        let topic = settings.events_topic();
        brokers.create_topic(&topic, 2, 1).unwrap();
        let publisher = KafkaPublisher::open_with(&settings, BLIND_LIMIT).unwrap();
        let scene = Self { brokers, topic, publisher };
        scene.until("it writes", || scene.publish());
        scene
    }

    /// Whether a message was acknowledged.
    fn publish(&self) -> bool {
        let value = bytes::Bytes::from_static(b"a message");
        let Ok(receipt) = self.publisher.publish(vec![Message { partition: 0, value }]) else { return false };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(receipt).is_ok()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let since = Instant::now();
        while !holds() {
            assert!(since.elapsed() < LIMIT, "in vain: {what}");
            std::thread::yield_now();
        }
    }

    /// Every attempt to write is refused, so that messages wait until they time out.
    fn refuse_writes(&self) {
        self.brokers.request_errors(RDKafkaApiKey::Produce, &[NOT_LEADER; 10_000]);
    }
}

#[test]
fn a_producer_whose_messages_time_out_while_the_brokers_know_a_leader_is_replaced() {
    let scene = Scene::new();
    let first = scene.publisher.shared.client();
    scene.refuse_writes();
    scene.until("it is replaced", || {
        assert!(!scene.publish(), "nothing is written meanwhile");
        !Arc::ptr_eq(&first, &scene.publisher.shared.client())
    });
    scene.brokers.clear_request_errors(RDKafkaApiKey::Produce);
    scene.until("the next one writes", || scene.publish());
}

#[test]
fn a_producer_whose_brokers_are_away_is_kept() {
    let scene = Scene::new();
    let place = |partition| (scene.topic.clone(), partition);
    let client = scene.publisher.shared.client();
    assert!(has_leader(&client, &place(0)) && has_leader(&client, &place(-1)));
    assert!(!has_leader(&client, &place(2)), "there is no such partition");
    scene.brokers.broker_down(1).unwrap();
    let since = Instant::now();
    while since.elapsed() < 2 * BLIND_LIMIT + LEADER_LIMIT {
        assert!(!scene.publish());
    }
    assert!(Arc::ptr_eq(&client, &scene.publisher.shared.client()));
    scene.brokers.broker_up(1).unwrap();
    scene.until("it writes again", || scene.publish());
}

#[test]
fn a_producer_whose_topic_was_away_goes_on_once_it_is_back() {
    let scene = Scene::new();
    // Refusals make it ask for the topic, which is not there just then.
    scene.brokers.topic_error(&scene.topic, UNKNOWN_TOPIC).unwrap();
    scene.refuse_writes();
    for _ in 0..3 {
        assert!(!scene.publish(), "nothing is written meanwhile");
    }
    scene.brokers.clear_request_errors(RDKafkaApiKey::Produce);
    scene.brokers.topic_error(&scene.topic, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    scene.until("it writes again", || scene.publish());
}
