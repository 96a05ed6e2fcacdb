//! What the collector says about an import as a whole: whether it knows it, that it is complete, and when its numbers can
//! be read.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Deserialize;

use super::position::Position;
use super::progress;
use super::send::Collector;
use crate::failure::Failure;

/// Pauses between two questions; the answer costs the warehouse a scan of the site.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Acknowledged rows are in the warehouse within this time, unless that is away.
const REACHES_WAREHOUSE: Duration = Duration::from_secs(5);
/// Rows that one collector took are known to the others within this time.
const REACHES_OTHERS: Duration = Duration::from_secs(120);
/// Without any progress for this long, waiting ends.
const PATIENCE: Duration = Duration::from_secs(600);

/// The answer of `GET /v1/imports/{id}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Status {
    stored_rows: u64,
    /// Rows that were read to the import's end and are not stored under it: of erased visitors, copies, removed since.
    not_stored_rows: u64,
    state: String,
    progress: f64,
}

async fn status(collector: &Collector, import_id: &str) -> Result<Option<Status>, Failure> {
    collector.ask(Method::GET, &format!("/v1/imports/{import_id}"), None).await
}

/// Fails unless the collector takes imports, with this key, for this site: before the file is read.
pub(super) async fn check(collector: &Collector, import_id: &str) -> Result<(), Failure> {
    status(collector, import_id).await.map(drop)
}

/// Whether what an earlier run sent is still there: after a completed import all rows, but for those that were not stored, or
/// were removed since; else at least one. Acknowledged rows of a moment ago may not have reached the warehouse yet.
pub(super) async fn knows(
    collector: &Collector,
    import_id: &str,
    position: &Position,
) -> Result<bool, Failure> {
    let needed_rows = if position.completed { position.accepted_rows } else { position.accepted_rows.min(1) };
    let deadline = Instant::now() + REACHES_WAREHOUSE;
    loop {
        let status = status(collector, import_id).await?;
        if status.map_or(0, |status| status.stored_rows + status.not_stored_rows) >= needed_rows {
            return Ok(true);
        }
        if position.completed || Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(FIRST_PAUSE).await;
    }
}

/// Tells that all rows were sent.
pub(super) async fn complete(
    collector: &Collector,
    import_id: &str,
    accepted_rows: u64,
) -> Result<(), Failure> {
    if accepted_rows == 0 {
        return Ok(());
    }
    let body = serde_json::json!({ "accepted_rows": accepted_rows }).to_string();
    let path = format!("/v1/imports/{import_id}/complete");
    let deadline = Instant::now() + REACHES_OTHERS;
    loop {
        let answer: Option<serde_json::Value> =
            collector.ask(Method::POST, &path, Some(body.clone())).await?;
        if answer.is_some() {
            return Ok(());
        }
        // Another collector behind the same address may have taken the rows: this one knows them when they are stored.
        if Instant::now() >= deadline {
            return Err(Failure::new(format!(
                "the collector knows no row of this import after {} s, although {accepted_rows} were accepted; is ClickHouse \
                 away? Run the same command again to go on",
                REACHES_OTHERS.as_secs()
            )));
        }
        tokio::time::sleep(LONGEST_PAUSE).await;
    }
}

/// Waits until all rows were read to the import's end and the site's funnels count them. How many are not stored under the
/// import.
pub(super) async fn until_readable(
    collector: &Collector,
    import_id: &str,
    accepted_rows: u64,
) -> Result<u64, Failure> {
    if accepted_rows == 0 {
        return Ok(0);
    }
    let waiting = progress::waiting();
    let (mut pause, mut last, mut moved_at) = (FIRST_PAUSE, None, Instant::now());
    loop {
        let asked_at = Instant::now();
        let now = status(collector, import_id).await?;
        if let Some(done) = now.as_ref().filter(|now| now.state == "ready") {
            waiting.finish_and_clear();
            return Ok(done.not_stored_rows);
        }
        if now != last {
            moved_at = Instant::now();
        }
        if moved_at.elapsed() > PATIENCE {
            waiting.finish_and_clear();
            return Err(not_readable(now.as_ref(), accepted_rows));
        }
        if let Some(Status { stored_rows, progress, .. }) = &now {
            let text = format!(
                "{stored_rows} of {accepted_rows} rows stored, numbers rebuilt {:.0} %",
                progress * 100.0
            );
            waiting.set_message(text);
        }
        last = now;
        tokio::time::sleep(pause.max(asked_at.elapsed() * 2)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn not_readable(status: Option<&Status>, accepted_rows: u64) -> Failure {
    let (stored, done) = status.map_or((0, 0.0), |status| (status.stored_rows, status.progress));
    let minutes = PATIENCE.as_secs() / 60;
    Failure::new(format!(
        "nothing has moved for {minutes} minutes: {stored} of {accepted_rows} rows are stored, {:.0} % of the numbers rebuilt; \
         the aggregator's log and /metrics tell why. Run the same command again to go on waiting",
        done * 100.0
    ))
}
