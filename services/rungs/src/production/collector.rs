//! `rungs collector`: takes events over HTTP and hands them to Kafka, or stores them in its spill while Kafka is away. It
//! starts and serves without Kafka too, by the last plan that it kept beside the spill.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use collector::{Collector, SpillMetrics, SpillState, WarehouseStatus};
use event_log::kafka::{KafkaPlans, KafkaPublisher, KafkaSalts, KafkaSettings};
use event_log::local::LocalLogSettings;
use event_log::salts::Salts;
use event_log::spill::{KafkaRemote, Spill};
use event_log::{Generations, PlanRecord, PlanTopic, SystemClock};
use funnel::Plan;
use runtime::Settings;
use tokio::sync::watch;

use super::kafka;
use crate::failure::Failure;
use crate::plans::follow;
use crate::process::{Process, ended};
use crate::rejections;
use crate::salts;
use crate::warehouse_answers::WarehouseAnswers;

/// At shutdown Kafka has this long to acknowledge what is on its way; the rest goes to the spill.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// … and rejected events this long.
const REJECTIONS_LIMIT: Duration = Duration::from_secs(1);
/// How often the spill's metrics are brought up to date.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub(super) type KafkaSpill = Spill<KafkaRemote>;
type PlanRecords = watch::Sender<Option<Arc<PlanRecord>>>;

/// Runs until a signal, or until the service fails.
pub(crate) async fn run(settings: Settings, data_dir: PathBuf) -> Result<(), Failure> {
    let process = Process::new()?;
    let kafka = kafka::required(&settings, "collector")?;
    let publisher = Arc::new(KafkaPublisher::open(&kafka)?);
    // Of its own, because the spill gives up what is on its way through the other.
    let direct = Arc::new(KafkaPublisher::open(&kafka)?);
    let rejections = rejections::to_kafka(&process, &kafka)?;
    let spill = open_spill(&settings, &kafka, &publisher, &data_dir).await?;
    let admin = super::start_admin(&process, &settings)?;
    let metrics = SpillMetrics::register(&process.metrics)?;
    metrics.show_limit(settings.log.max_bytes);
    drop(process.tasks.spawn("spill metrics", show(metrics, spill.clone(), process.clone())));
    let plan = follow_plans(&process, kafka.clone(), &spill);
    let salts = follow_salts(&process, kafka, direct.clone(), plan.clone());
    let collector = Collector {
        settings: settings.collector.clone(),
        publisher: spill.clone(),
        direct,
        salts,
        warehouse: warehouse(&settings, &plan)?,
        plan,
        generations: Arc::new(Generations::default()),
        rejections: Some(rejections.clone()),
        metrics: &process.metrics,
        health: process.health.clone(),
    };
    let bound = collector.bind(&process.shutdown)?;
    super::announce("collector", Some(bound.address()), &admin, Some(&data_dir));
    let outcome = ended("collector", process.serve("collector", bound.serve())).await;
    tokio::task::spawn_blocking(move || {
        spill.close(CLOSE_LIMIT);
        rejections.close(REJECTIONS_LIMIT);
    })
    .await?;
    admin.stop().await;
    outcome.map_err(Failure::new)
}

/// Replaying the spill's journal blocks, and so may asking for Kafka.
pub(super) async fn open_spill(
    settings: &Settings,
    kafka: &KafkaSettings,
    publisher: &Arc<KafkaPublisher>,
    data_dir: &std::path::Path,
) -> Result<Arc<KafkaSpill>, Failure> {
    let local = LocalLogSettings {
        max_bytes: settings.log.max_bytes,
        max_queued_bytes: settings.log.max_queued_bytes as u64,
        ..LocalLogSettings::new(data_dir.join("spill"), kafka.partitions)
    };
    let remote = KafkaRemote::new(kafka, Arc::clone(publisher));
    let open = move || Spill::open(remote, local, Arc::new(SystemClock));
    Ok(Arc::new(tokio::task::spawn_blocking(open).await??))
}

/// Without a ClickHouse in its settings a collector cannot tell how far an import is, or whether a visitor is stored.
fn warehouse(
    settings: &Settings,
    plan: &watch::Receiver<Option<Arc<Plan>>>,
) -> Result<Option<Arc<dyn WarehouseStatus>>, Failure> {
    if settings.clickhouse.url.is_none() {
        return Ok(None);
    }
    let (warehouse, horizon_ms) = (super::warehouse(settings)?, settings.aggregator.horizon_ms);
    Ok(Some(Arc::new(WarehouseAnswers { warehouse, plan: plan.clone(), horizon_ms })))
}

/// The plan in force: the one that was kept, until Kafka tells.
fn follow_plans(
    process: &Process,
    kafka: KafkaSettings,
    spill: &Arc<KafkaSpill>,
) -> watch::Receiver<Option<Arc<Plan>>> {
    let (records, latest) = watch::channel(spill.kept_plan());
    drop(process.tasks.spawn("plans from Kafka", take_plans(process.clone(), kafka, spill.clone(), records)));
    follow::follow(latest, &process.tasks, process.shutdown.clone())
}

/// Passes on what Kafka's plan topic holds, and keeps it for a start without Kafka. A topic that holds none (Kafka was lost)
/// leaves the plan that was kept in force, until one is applied.
async fn take_plans(process: Process, kafka: KafkaSettings, spill: Arc<KafkaSpill>, records: PlanRecords) {
    let plans = match kafka::opened(&process, move || KafkaPlans::open(&kafka)).await {
        Ok(Some(plans)) => plans,
        Ok(None) => return,
        Err(failure) => return tracing::error!(%failure, "the plan topic cannot be followed"),
    };
    let mut latest = plans.latest();
    loop {
        let record = latest.borrow_and_update().clone();
        if let Some(record) = record {
            records.send_replace(Some(record.clone()));
            keep(&spill, record).await;
        }
        tokio::select! {
            () = process.shutdown.requested() => return,
            changed = latest.changed() => if changed.is_err() { return },
        }
    }
}

/// The salts, once Kafka tells them. They are kept nowhere else.
fn follow_salts(
    process: &Process,
    kafka: KafkaSettings,
    publisher: Arc<KafkaPublisher>,
    plan: watch::Receiver<Option<Arc<Plan>>>,
) -> watch::Receiver<Option<Arc<Salts>>> {
    let (sender, salts) = watch::channel(None);
    let of_process = process.clone();
    let open = move || KafkaSalts::open(&kafka, publisher.clone());
    drop(process.tasks.spawn("salts from Kafka", async move {
        match kafka::opened(&of_process, open).await {
            Ok(Some(topic)) => salts::pass_on(&of_process, Arc::new(topic), plan, sender).await,
            Ok(None) => {}
            Err(failure) => tracing::error!(%failure, "the topic of salts cannot be followed"),
        }
    }));
    salts
}

async fn keep(spill: &Arc<KafkaSpill>, record: Arc<PlanRecord>) {
    let spill = spill.clone();
    let kept = tokio::task::spawn_blocking(move || spill.keep_plan(&record));
    if let Ok(Err(error)) = kept.await {
        tracing::warn!(%error, "the plan could not be kept for a start without Kafka");
    }
}

/// Keeps the spill's metrics up to date until a stop is asked for.
pub(super) async fn show(metrics: SpillMetrics, spill: Arc<KafkaSpill>, process: Process) {
    loop {
        let seen = spill.clone();
        // Its age is read from the disk.
        if let Ok(state) = tokio::task::spawn_blocking(move || state_of(&seen)).await {
            metrics.show(&state);
        }
        tokio::select! {
            () = process.shutdown.requested() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

fn state_of(spill: &KafkaSpill) -> SpillState {
    SpillState {
        is_spilling: spill.is_spilling(),
        records: spill.depth_records(),
        bytes: spill.depth_bytes(),
        age_ms: spill.age_ms(),
        spilled: spill.spilled(),
        refused: spill.refused(),
    }
}
