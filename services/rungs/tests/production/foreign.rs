//! What other producers write straight into the topic: garbage, records cut off, records too large, events that are no
//! events, and good ones. Nothing of it stops a partition or changes a number that it should not.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use event_log::kafka::{KafkaPublisher, KafkaSource, PLACES};
use event_log::{Message, Publisher, Source, partition_of};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use rungs_proto::v1::{Event, Record, record::Body};
use runtime::now_ms;
use serde_json::{Value, json};

use crate::cluster::{Cluster, PARTITIONS};
use crate::judge::Truth;
use crate::load::{Load, Pace};
use crate::topic::REFUSED;
use crate::{SHOP, alone, seed};

const VISITOR: &str = "somebody elsewhere";
/// A little less than what a topic takes by default.
const LARGE_BYTES: usize = 1_000_000;

#[test]
fn whatever_others_write_into_the_topic_stops_nothing_and_is_shown_with_its_place() {
    let _alone = alone();
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(SHOP, 2);
    let history_since_ms = now_ms();
    let load = Load::start(cluster.collector.address("--listen"), Pace::STEADY, seed);
    load.until_more(200);

    let publisher = KafkaPublisher::open(&cluster.kafka_settings()).unwrap();
    let mut refused: BTreeMap<&str, u64> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for (reason, value) in bad(&mut random).into_iter().chain(misplaced(partition)) {
            publish(&publisher, partition, value).unwrap();
            *refused.entry(reason).or_default() += 1;
        }
        // Kafka itself takes no larger ones.
        assert!(publish(&publisher, partition, vec![b'x'; 2 * LARGE_BYTES]).is_err());
    }
    let good = good();
    for event in &good {
        let partition = partition_of(&event.site, &event.visitor_id, PARTITIONS);
        publish(&publisher, partition, encoded(event.clone())).unwrap();
    }

    let by_json = json_of(VISITOR, "json");
    publish(&publisher, partition_of("shop", VISITOR, PARTITIONS), by_json.to_string().into_bytes()).unwrap();

    let wanted = refused.values().sum::<u64>();
    let counted = |cluster: &Cluster| cluster.sum("rungs_aggregator_undecodable_records_total", &[]);
    cluster.until_or(
        |cluster| format!("{:?} of {wanted} bad records are counted", counted(cluster)),
        |cluster| counted(cluster) == Some(wanted as f64),
    );
    load.until_more(500);
    cluster.until_whole(&load);
    cluster.check_rejected(&refused);
    cluster.until_rejections_are_stored(&refused);
    let acknowledged = load.stop();
    cluster.judge(&Truth { plan: SHOP, acknowledged, others: good.len() + 1, history_since_ms });
    assert_eq!(counted(&cluster), Some(wanted as f64));
    cluster.stop();
}

fn publish(
    publisher: &KafkaPublisher,
    partition: u32,
    value: Vec<u8>,
) -> Result<(), event_log::PublishError> {
    let receipt = publisher.publish(vec![Message { partition, value: Bytes::from(value) }]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(receipt)
}

fn encoded(event: Event) -> Vec<u8> {
    Record { body: Some(Body::Event(event)) }.encode_to_vec()
}

fn event(id: &str) -> Event {
    Event {
        site: "shop".to_owned(),
        visitor_id: VISITOR.to_owned(),
        user_id: REFUSED.to_owned(),
        message_id: id.to_owned(),
        event: "product_view".to_owned(),
        ts_ms: now_ms() - 60_000,
        own_ts_ms: now_ms() - 60_000,
        received_at_ms: now_ms(),
        ..Event::default()
    }
}

/// Records that are not taken, and why.
fn bad(random: &mut StdRng) -> Vec<(&'static str, Vec<u8>)> {
    let whole = encoded(event("cut off"));
    let mut bad: Vec<(&str, Vec<u8>)> =
        (0..whole.len()).map(|at| ("not_a_record", whole[..at].to_vec())).collect();
    for length in [1, 10, 100, 10_000, LARGE_BYTES - 1_000] {
        let mut value = vec![0; length];
        random.fill_bytes(&mut value);
        // No field of protobuf has this type.
        value[0] = 0x0f;
        bad.push(("not_a_record", value));
    }
    let json = [
        ("invalid_field", r#"{"event":"product_view","anonymousId":"v","messageId":"m"}"#),
        ("missing_visitor", r#"{"site":"shop","event":"product_view","messageId":"m"}"#),
        ("invalid_message_id", r#"{"site":"shop","event":"product_view","anonymousId":"v"}"#),
        ("invalid_json", r#"{"site":"shop","event":"product_view""#),
    ];
    bad.extend(json.map(|(reason, text)| (reason, text.as_bytes().to_vec())));
    // Field 2 is a control record; its first field is cut off.
    bad.push(("not_a_control_record", vec![0x12, 0x01, 0x08]));
    let long = "x".repeat(300);
    let wrong = [
        ("invalid_site", Event { site: String::new(), ..event("a") }),
        ("invalid_visitor", Event { visitor_id: String::new(), ..event("b") }),
        ("invalid_message_id", Event { message_id: long.clone(), ..event("c") }),
        ("invalid_message_id", event("")),
        ("invalid_event_name", Event { event: long, ..event("d") }),
        ("invalid_timestamp", Event { ts_ms: i64::MIN, ..event("e") }),
        ("invalid_timestamp", Event { ts_ms: random.random_range(-1_000..1_000), ..event("f") }),
    ];
    bad.extend(wrong.into_iter().map(|(reason, event)| (reason, encoded(event))));
    bad
}

/// Good events of a visitor who belongs to another partition, in protobuf and as JSON.
fn misplaced(partition: u32) -> [(&'static str, Vec<u8>); 2] {
    let mut visitors = (0..).map(|number| format!("stranger {number}"));
    let visitor_id = visitors.find(|visitor| partition_of("shop", visitor, PARTITIONS) != partition).unwrap();
    let mut json = json_of(&visitor_id, "misplaced json");
    json["userId"] = REFUSED.into();
    let json = json.to_string().into_bytes();
    let event = Event { visitor_id, ..event("misplaced") };
    [("wrong_partition", encoded(event)), ("wrong_partition", json)]
}

/// One that counts, as other producers may write it.
fn json_of(visitor: &str, message: &str) -> Value {
    let timestamp = now_ms() - 60_000;
    json!({
        "site": "shop", "event": "product_view", "anonymousId": visitor, "messageId": message, "timestamp": timestamp,
        "properties": {"channel": "email"},
    })
}

/// Events that count: plain ones with little more than they must have, large ones, and those with strange times.
fn good() -> Vec<Event> {
    let event = |id: &str| Event { user_id: String::new(), ..event(id) };
    let large = format!("{{\"channel\":\"email\",\"text\":\"{}\"}}", "y".repeat(LARGE_BYTES - 2_000));
    vec![
        Event { own_ts_ms: 0, received_at_ms: 0, ..event("plain") },
        Event { properties: large, ..event("large") },
        Event {
            properties: "{\"channel\":".to_owned(),
            context: "no JSON".to_owned(),
            ..event("properties cut off")
        },
        Event {
            ts_ms: i64::MAX,
            own_ts_ms: i64::MAX,
            received_at_ms: i64::MAX,
            ..event("at the end of time")
        },
        Event { own_ts_ms: i64::MIN, received_at_ms: i64::MIN, ..event("own time at the beginning") },
        Event { kind: i32::MAX, revenue_e4: i64::MIN, has_revenue: true, ..event("strange numbers") },
    ]
}

impl Cluster {
    /// Every record that was refused is in `rungs.rejected.v1`, with its place in the log and the reason.
    fn check_rejected(&self, refused: &BTreeMap<&str, u64>) {
        let count = refused.values().sum::<u64>().to_string();
        let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
        let arguments =
            ["--topic", "rungs.rejected.v1", "--from-beginning", "--timeout-ms", "20000", "--max-messages"];
        let text = self.kafka.tool(class, &[&arguments[..], &[&count]].concat());
        let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let lengths = lengths(&KafkaSource::open(&self.kafka_settings()).unwrap());
        let mut found: BTreeMap<&str, u64> = BTreeMap::new();
        let mut places = std::collections::HashSet::new();
        for record in &records {
            let place = (record["partition"].as_u64().unwrap() as u32, record["offset"].as_u64().unwrap());
            assert_eq!(lengths[&place], record["bytes"].as_u64().unwrap() as usize, "{record}");
            assert!(places.insert(place), "{place:?} twice");
            *found.entry(record["reason"].as_str().unwrap()).or_default() += 1;
        }
        assert_eq!(found, *refused);
    }
}

impl Cluster {
    /// Every record that was refused is in the table, once, with the reason.
    fn until_rejections_are_stored(&mut self, refused: &BTreeMap<&str, u64>) {
        let sql = "SELECT reason, uniqExact(id), uniqExact(log_partition, log_offset) FROM rejected_events \
                   GROUP BY reason ORDER BY reason";
        let wanted: Vec<String> =
            refused.iter().map(|(reason, count)| format!("{reason}\t{count}\t{count}")).collect();
        let wanted = wanted.join("\n");
        self.until_or(
            |cluster| format!("rejected_events has {:?}, not {wanted}", cluster.clickhouse(sql)),
            |cluster| cluster.clickhouse(sql).is_some_and(|found| found.trim() == wanted),
        );
    }
}

/// Bytes of every record that stands alone in the topic, as all do that others wrote, by the topic's offset.
fn lengths(source: &KafkaSource) -> HashMap<(u32, u64), usize> {
    let mut lengths = HashMap::new();
    for partition in 0..source.partitions() {
        let end = *source.end(partition).borrow();
        let mut next = 0;
        while next < end {
            for record in source.read(partition, next, 1 << 20).unwrap() {
                next = record.offset + 1;
                lengths.insert((partition, record.offset / PLACES), record.value.len());
            }
        }
    }
    lengths
}
