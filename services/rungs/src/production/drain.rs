//! `rungs collector --drain-only`: hands what a collector left in its spill over to Kafka, takes no events, and ends when
//! nothing is left. For a folder whose collector does not come back: one of several that were scaled in, for example.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use collector::SpillMetrics;
use event_log::kafka::KafkaPublisher;
use runtime::Settings;

use super::collector::{CLOSE_LIMIT, KafkaSpill, open_spill, show};
use super::kafka;
use crate::failure::Failure;
use crate::process::Process;

/// How often the spill is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Runs until the spill is empty, or until a signal; an error says what was left.
pub(crate) async fn run(settings: Settings, data_dir: PathBuf) -> Result<(), Failure> {
    let process = Process::new()?;
    let kafka = kafka::required(&settings, "collector")?;
    must_exist(&data_dir)?;
    let publisher = Arc::new(KafkaPublisher::open(&kafka)?);
    let spill = open_spill(&settings, &kafka, &publisher, &data_dir).await?;
    let admin = super::start_admin(&process, &settings)?;
    let metrics = SpillMetrics::register(&process.metrics)?;
    metrics.show_limit(settings.log.max_bytes);
    drop(process.tasks.spawn("spill metrics", show(metrics, spill.clone(), process.clone())));
    eprintln!(
        "rungs collector hands over to Kafka what is in {}, records: {}; metrics and readiness on http://{}",
        data_dir.display(),
        spill.depth_records(),
        admin.address()
    );
    until_empty(&spill, &process).await;
    process.shutdown.request();
    let closing = spill.clone();
    tokio::task::spawn_blocking(move || closing.close(CLOSE_LIMIT)).await?;
    admin.stop().await;
    told(&spill, &data_dir)
}

/// A wrong folder would be an empty spill, and that a reason to delete the right one.
fn must_exist(data_dir: &Path) -> Result<(), Failure> {
    match data_dir.join("spill").is_dir() {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "{} holds no spill: is --data-dir the folder that the collector had?",
            data_dir.display()
        ))),
    }
}

async fn until_empty(spill: &KafkaSpill, process: &Process) {
    while spill.is_spilling() {
        tokio::select! {
            () = process.shutdown.requested() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// Whether everything was handed over.
fn told(spill: &KafkaSpill, data_dir: &Path) -> Result<(), Failure> {
    let (left, refused, folder) = (spill.depth_records(), spill.refused(), data_dir.display());
    if left > 0 {
        return Err(Failure::new(format!("{folder} is not empty, records: {left}; run this again")));
    }
    if refused > 0 {
        return Err(Failure::new(format!(
            "{folder} is empty, but Kafka refused {refused} of its records for good; the log lines above say why"
        )));
    }
    eprintln!("{folder} is empty: everything in it was acknowledged by Kafka");
    Ok(())
}
