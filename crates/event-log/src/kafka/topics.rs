//! The topics: created where they are missing, verified where they exist, before anything is written or read.
//!
//! `rungs.events.v1` must stamp records itself (LogAppendTime is the aggregator's clock), delete by time and never
//! compact; where it has three copies, two must have a record before it is acknowledged, and a copy that is behind must
//! not become the leader. `rungs.plan.v1` has one partition and is compacted; `rungs.salts.v1` has one too, and nothing
//! stays in it for longer than it is needed. All that is wrong is told at once.

use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;

use super::client::{ANSWER_LIMIT, Plain, wait};
use super::error::{KafkaError, TopicProblem};
use super::settings::{self, KafkaSettings};

/// How long a created topic may take until all partitions have leaders and all brokers know its configuration.
const LEADERS_LIMIT: Duration = Duration::from_secs(20);
const LEADERS_PAUSE: Duration = Duration::from_millis(50);
/// A salt is written at noon of the day before its own.
const SALTS_KEPT: Duration = Duration::from_secs(36 * 3_600);
const SALTS_SEGMENT: Duration = Duration::from_secs(3_600);

/// A topic as it is to be.
struct Wanted {
    name: String,
    partitions: i32,
    /// Whether an existing topic may have another count.
    any_count: bool,
    /// Key, value when created, and what an existing value must be like.
    configs: Vec<(&'static str, String, Must)>,
}

/// What an existing setting of a topic must be like.
enum Must {
    Be,
    /// A number of at least this; -1 is without end.
    BeAtLeast(u64),
}

/// Creates the topics that are missing and checks the others.
///
/// # Errors
/// [`KafkaError::Topics`] with every difference; [`KafkaError::Unreachable`] if no broker answers.
pub fn ensure(settings: &KafkaSettings) -> Result<(), KafkaError> {
    let admin: AdminClient<Plain> = settings::client(settings)?.create_with_context(Plain("admin"))?;
    let ensured = ensure_with(&admin, settings);
    // Its end waits a tenth of a second for its own thread, and whoever starts need not.
    drop(std::thread::Builder::new().name("kafka-admin".to_owned()).spawn(move || drop(admin)));
    ensured
}

fn ensure_with(admin: &AdminClient<Plain>, settings: &KafkaSettings) -> Result<(), KafkaError> {
    let mut problems = Vec::new();
    for wanted in wanted(settings)? {
        if found(admin, settings, &wanted.name)?.is_none() {
            create(admin, settings, &wanted)?;
        }
        let topic = wait_for_leaders(admin, settings, &wanted.name)?;
        let config = configuration(admin, settings, &wanted)?;
        problems.extend(compare(settings, &wanted, &topic, &config));
    }
    if problems.is_empty() { Ok(()) } else { Err(KafkaError::Topics(problems)) }
}

fn wanted(settings: &KafkaSettings) -> Result<[Wanted; 4], KafkaError> {
    let be = |key, value: &str| (key, value.to_owned(), Must::Be);
    let in_sync = if settings.replication >= 3 { 2 } else { 1 };
    let in_sync = || ("min.insync.replicas", in_sync.to_string(), Must::BeAtLeast(in_sync));
    let retention =
        || ("retention.ms", settings.retention_ms.to_string(), Must::BeAtLeast(settings.retention_ms));
    let clean_leader = || be("unclean.leader.election.enable", "false");
    let events = vec![
        be("cleanup.policy", "delete"),
        be("message.timestamp.type", "LogAppendTime"),
        retention(),
        in_sync(),
        clean_leader(),
    ];
    let plans = vec![be("cleanup.policy", "compact"), in_sync(), clean_leader()];
    let rejected = vec![
        be("cleanup.policy", "delete"),
        ("retention.ms", settings.retention_ms.to_string(), Must::BeAtLeast(0)),
    ];
    let salts = vec![
        be("cleanup.policy", "delete"),
        be("retention.ms", &SALTS_KEPT.as_millis().to_string()),
        // Whole segments are deleted, by their newest record: each salt must have one of its own.
        be("segment.ms", &SALTS_SEGMENT.as_millis().to_string()),
        be("message.timestamp.type", "LogAppendTime"),
        in_sync(),
        clean_leader(),
    ];
    let partitions = settings::partition_count(settings)?;
    Ok([
        Wanted { name: settings.events_topic(), partitions, any_count: false, configs: events },
        Wanted { name: settings.plan_topic(), partitions: 1, any_count: false, configs: plans },
        Wanted { name: settings.rejected_topic(), partitions: 1, any_count: true, configs: rejected },
        Wanted { name: settings.salts_topic(), partitions: 1, any_count: false, configs: salts },
    ])
}

/// What the brokers know of a topic: how many partitions with a leader, without one, and copies of each.
struct Found {
    partitions: usize,
    leaderless: usize,
    copies: usize,
}

fn found(
    admin: &AdminClient<Plain>,
    settings: &KafkaSettings,
    name: &str,
) -> Result<Option<Found>, KafkaError> {
    let metadata = admin.inner().fetch_metadata(Some(name), ANSWER_LIMIT);
    let metadata = metadata.map_err(|cause| KafkaError::unreachable(settings, cause))?;
    let Some(topic) = metadata.topics().first() else { return Ok(None) };
    match topic.error().map(RDKafkaErrorCode::from) {
        None => Ok(Some(count(topic))),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
        Some(RDKafkaErrorCode::LeaderNotAvailable) => Ok(Some(count(topic))),
        Some(error) => Err(KafkaError::Client(format!("topic {name}: {error}"))),
    }
}

fn count(topic: &MetadataTopic) -> Found {
    let partitions = topic.partitions();
    Found {
        partitions: partitions.len(),
        leaderless: partitions.iter().filter(|partition| partition.leader() < 0).count(),
        copies: partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
    }
}

fn create(admin: &AdminClient<Plain>, settings: &KafkaSettings, wanted: &Wanted) -> Result<(), KafkaError> {
    let copies = TopicReplication::Fixed(i32::try_from(settings.replication).unwrap_or(i32::MAX));
    let mut topic = NewTopic::new(&wanted.name, wanted.partitions, copies);
    for (key, value, _) in &wanted.configs {
        topic = topic.set(key, value);
    }
    let options =
        AdminOptions::new().request_timeout(Some(ANSWER_LIMIT)).operation_timeout(Some(ANSWER_LIMIT));
    let created = wait(admin.create_topics([&topic], &options))?;
    let created = created.map_err(|cause| KafkaError::unreachable(settings, cause))?;
    match created.into_iter().next() {
        // Another process was quicker: it is checked like any other.
        None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((name, RDKafkaErrorCode::InvalidReplicationFactor))) => Err(KafkaError::Settings(format!(
            "[kafka] replication = {}: there are fewer brokers than that for topic {name}",
            settings.replication
        ))),
        Some(Err((name, error))) => Err(KafkaError::Client(format!(
            "topic {name} does not exist and could not be created: {error}; create it, or allow this user to"
        ))),
    }
}

fn wait_for_leaders(
    admin: &AdminClient<Plain>,
    settings: &KafkaSettings,
    name: &str,
) -> Result<Found, KafkaError> {
    let deadline = Instant::now() + LEADERS_LIMIT;
    loop {
        let topic = found(admin, settings, name)?;
        if let Some(topic) = topic.filter(|topic| topic.leaderless == 0 && topic.partitions > 0) {
            return Ok(topic);
        }
        if Instant::now() > deadline {
            let cause = format!("topic {name} has partitions without a leader");
            return Err(KafkaError::unreachable(settings, cause));
        }
        std::thread::sleep(LEADERS_PAUSE);
    }
}

fn describe(
    admin: &AdminClient<Plain>,
    settings: &KafkaSettings,
    name: &str,
) -> Result<ConfigResource, KafkaError> {
    let options = AdminOptions::new().request_timeout(Some(ANSWER_LIMIT));
    let described = wait(admin.describe_configs([&ResourceSpecifier::Topic(name)], &options))?;
    let described = described.map_err(|cause| KafkaError::unreachable(settings, cause))?;
    let refused = |error| KafkaError::Client(format!("the configuration of topic {name}: {error}"));
    let first = described.into_iter().next().unwrap_or(Err(RDKafkaErrorCode::UnknownTopic));
    first.map_err(refused)
}

/// The topic's configuration, once the broker that is asked knows it.
fn configuration(
    admin: &AdminClient<Plain>,
    settings: &KafkaSettings,
    wanted: &Wanted,
) -> Result<ConfigResource, KafkaError> {
    let deadline = Instant::now() + LEADERS_LIMIT;
    loop {
        let config = describe(admin, settings, &wanted.name)?;
        if wanted.configs.iter().all(|(key, ..)| config.get(key).is_some()) || Instant::now() > deadline {
            return Ok(config);
        }
        std::thread::sleep(LEADERS_PAUSE);
    }
}

fn compare(
    settings: &KafkaSettings,
    wanted: &Wanted,
    topic: &Found,
    config: &ConfigResource,
) -> Option<TopicProblem> {
    let mut differences = Vec::new();
    let mut fixes = Vec::new();
    if !wanted.any_count && topic.partitions != usize::try_from(wanted.partitions).unwrap_or(0) {
        differences.push(format!("partitions are {}, must be {}", topic.partitions, wanted.partitions));
        fixes.push(count_fix(settings, wanted, topic));
    }
    let mut alter = Vec::new();
    for (key, value, must) in &wanted.configs {
        let is = config.get(key).and_then(|entry| entry.value.as_deref()).unwrap_or("unknown");
        if let Some(must_be) = differs(key, is, value, must, topic) {
            differences.push(format!("{key} is {is}, must be {must_be}"));
            alter.push(format!("{key}={value}"));
        }
    }
    if !alter.is_empty() {
        fixes.push(format!(
            "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {} --add-config {}",
            settings.brokers.as_deref().unwrap_or_default(),
            wanted.name,
            alter.join(",")
        ));
    }
    let problem = TopicProblem { topic: wanted.name.clone(), differences, fixes };
    (!problem.differences.is_empty()).then_some(problem)
}

/// What the value must be, if it is not.
fn differs(key: &str, is: &str, value: &str, must: &Must, topic: &Found) -> Option<String> {
    match must {
        Must::Be => (is != value).then(|| value.to_owned()),
        // The rule about copies is one for the copies that there are.
        Must::BeAtLeast(_) if key == "min.insync.replicas" && topic.copies < 3 => None,
        Must::BeAtLeast(least) => {
            let enough = is == "-1" || is.parse::<u64>().is_ok_and(|is| is >= *least);
            (!enough).then(|| format!("at least {least}"))
        }
    }
}

fn count_fix(settings: &KafkaSettings, wanted: &Wanted, topic: &Found) -> String {
    if wanted.name == settings.events_topic() {
        return format!(
            "set [kafka] partitions = {}, or delete the topic once everything in it was aggregated",
            topic.partitions
        );
    }
    "delete the topic; it is created again".to_owned()
}
