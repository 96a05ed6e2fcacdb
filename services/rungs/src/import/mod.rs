//! Events of the past, from a file to readable numbers. [`run`] tells it in order: identify the file, find out what is
//! stored already, send the rest in batches, complete the import, wait until the numbers count it.
//!
//! A row's message id is made of the import's id and the row's number, and the import's id of everything that decides
//! what its rows become. So a row that is sent twice is one event, and an import that is run again adds nothing.
//! Memory is bounded: a few batches, whatever the file's size.

mod batches;
mod columns;
mod csv_rows;
mod identity;
mod ndjson_rows;
mod position;
mod progress;
mod rows;
pub(crate) mod send;
mod server;
mod shift;
mod source;
pub(crate) mod time;

use std::path::PathBuf;

use futures_util::{StreamExt, TryStreamExt};

pub(crate) use columns::Columns;

use crate::failure::Failure;
use crate::plural::{plural, plural_are};
use batches::Batch;
use identity::Identity;
use position::Position;
use progress::Progress;
use rows::Rows;
use send::{Collector, Sent};

/// Batches that are on their way at the same time.
const IN_FLIGHT: usize = 4;
/// Rows that were not stored and are shown.
const SHOWN_REJECTED: usize = 20;

/// What is imported, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The collector, without a slash at its end.
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) site: String,
    pub(crate) columns: Columns,
    pub(crate) shift_to_now: bool,
    pub(crate) file: PathBuf,
}

/// Runs an import to its end.
///
/// # Errors
/// When the file cannot be read, the collector refuses or stays away, or a row was not stored.
pub(crate) async fn run(job: Job) -> Result<(), Failure> {
    let collector = Collector::new(&job.url, &job.key, &job.site)?;
    let (mut position, identity) = resume(&job, &collector).await?;
    if position.is_at_its_beginning() {
        warn_of_rows_before(&job, &position);
    }
    let already_complete = position.completed;
    if !already_complete {
        send_rest(&job, &collector, &identity, &mut position).await?;
        server::complete(&collector, &identity.import_id, position.accepted_rows).await?;
        position.completed = true;
        position.save()?;
    }
    let not_stored = server::until_readable(&collector, &identity.import_id, position.accepted_rows).await?;
    tell_outcome(&position, not_stored, already_complete)
}

/// People correct a file and import it again: what it brought before stays, and nothing of it is replaced.
fn warn_of_rows_before(job: &Job, position: &Position) {
    let rows = position.rows_of_other_content();
    if rows > 0 {
        eprintln!(
            "{} was imported before, with other content or columns. What it brought then ({}) stays, and nothing of it is \
             replaced: every row is a new event now, also one that was in the file then",
            job.file.display(),
            plural(rows, "row")
        );
    }
}

/// Where an earlier run of the same import ended, if the collector's warehouse still has it.
async fn resume(job: &Job, collector: &Collector) -> Result<(Position, Identity), Failure> {
    let (file, columns, site) = (job.file.clone(), job.columns.clone(), job.site.clone());
    let shift_to_now = job.shift_to_now;
    let identify = move || {
        // A file that is not as the columns say is told before anybody is asked.
        drop(Rows::open(&file, &columns)?);
        identity::base(&file, &columns, &site, shift_to_now)
    };
    let base = tokio::task::spawn_blocking(identify).await??;
    let position = Position::load(&base, &job.file);
    if position.is_none() {
        server::check(collector, &base).await?;
    }
    if let Some(position) = position {
        let identity = Identity::new(&base, position.shift_minutes);
        if server::knows(collector, &identity.import_id, &position).await? {
            // Another address may be another collector, whose acknowledgements are not in this position.
            let is_same = position.completed || position.url == job.url;
            let begun = || Position::begin(&base, job, position.shift_minutes);
            return Ok((if is_same { position } else { begun() }, identity));
        }
        eprintln!("the collector does not have what was imported before: importing from the first row");
    }
    let shift_minutes = if job.shift_to_now { Some(shift_of(job).await?) } else { None };
    let position = Position::begin(&base, job, shift_minutes);
    Ok((position, Identity::new(&base, shift_minutes)))
}

async fn shift_of(job: &Job) -> Result<i64, Failure> {
    let (file, columns) = (job.file.clone(), job.columns.clone());
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let minutes = tokio::task::spawn_blocking(move || shift::minutes(&file, &columns, now_ms)).await??;
    eprintln!("all times are moved by {minutes} minutes ({} days)", minutes / 1_440);
    Ok(minutes)
}

/// Sends what the position says is missing; answers are taken in the file's order.
async fn send_rest(
    job: &Job,
    collector: &Collector,
    identity: &Identity,
    position: &mut Position,
) -> Result<(), Failure> {
    // Before the first row: a time shift that was used must not be forgotten.
    position.save()?;
    let progress = Progress::of(&job.file)?;
    if position.acked_rows > 0 {
        eprintln!("going on: {} sent before", plural(position.acked_rows, "row"));
    }
    let batches = batches::start(job, identity, position.acked_rows);
    let import_id = identity.import_id.as_str();
    let send = |batch: Result<Batch, Failure>| async move {
        let batch = batch?;
        let sent = match batch.is_empty() {
            true => Sent::default(),
            false => collector.send(import_id, batch.body.clone()).await?,
        };
        Ok::<_, Failure>((batch, sent))
    };
    let mut answers = std::pin::pin!(batches.map(send).buffered(IN_FLIGHT));
    while let Some((batch, sent)) = answers.try_next().await? {
        position.take(&batch, &sent);
        position.save()?;
        progress.show(batch.read_bytes, position);
    }
    progress.finish();
    Ok(())
}

/// Says how many rows are stored, and fails if one was rejected. Of those that were accepted and are not stored it says why that
/// may be.
fn tell_outcome(position: &Position, not_stored: u64, already_complete: bool) -> Result<(), Failure> {
    let Position { accepted_rows, rejected_rows, .. } = position;
    let stored = plural_are(accepted_rows.saturating_sub(not_stored), "row");
    match already_complete {
        true => eprintln!("imported already: {stored} stored; nothing was added"),
        false => eprintln!("{stored} stored and counted"),
    }
    if not_stored > 0 {
        eprintln!(
            "{} not stored: of visitors who were erased, or removed since by retention",
            plural_are(not_stored, "row")
        );
    }
    if *rejected_rows == 0 {
        return Ok(());
    }
    for rejected in &position.rejected {
        eprintln!("  line {}: {}", rejected.line, rejected.reason);
    }
    let more = rejected_rows.saturating_sub(position.rejected.len() as u64);
    if more > 0 {
        eprintln!("  … and {more} more");
    }
    Err(Failure::new(format!("{} not stored", plural_are(*rejected_rows, "row"))))
}
