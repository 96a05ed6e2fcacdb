//! The real broker starts, ends and comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use kafka_server::Kafka;

#[test]
fn a_broker_starts_is_killed_and_starts_again_where_it_was() {
    let mut kafka = Kafka::start();
    let bootstrap = kafka.bootstrap();
    kafka.kill(0);
    assert_eq!(kafka.pid(0), None);
    kafka.restart(0);
    assert_eq!(kafka.bootstrap(), bootstrap);
    assert!(kafka.pid(0).is_some());
}

#[test]
fn three_brokers_find_each_other_and_one_of_them_also_listens_with_tls() {
    let kafka = Kafka::with(&kafka_server::Options { brokers: 3, secured: true, ..Default::default() });
    assert_eq!(kafka.bootstrap().split(',').count(), 3);
    assert_eq!(kafka.secure_bootstrap().split(',').count(), 3);
    assert!(std::fs::read_to_string(kafka.ca_file()).unwrap().contains("BEGIN CERTIFICATE"));
}
