//! Rows to bodies of NDJSON, made on a thread of its own a few batches ahead of the network.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use super::identity::Identity;
use super::position::RejectedRow;
use super::rows::{Json, Row, Rows};
use super::{Job, time};
use crate::failure::Failure;

/// Rows of a batch, at most.
const MAX_ROWS: usize = 2_000;
/// Bytes of a batch at which it ends: the collector takes 4 MiB by default.
const FULL_BYTES: usize = 1 << 20;
/// Batches that wait for the network.
const QUEUED: usize = 2;
const MINUTE_MS: i64 = 60_000;

/// Rows that follow each other in the file.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// A line of JSON for each of `rows`.
    pub(super) body: Bytes,
    /// The file's line of each row in the body.
    pub(super) lines: Vec<u64>,
    /// Rows that cannot be sent.
    pub(super) rejected: Vec<RejectedRow>,
    /// The last row that was looked at.
    pub(super) last_row: u64,
    /// Bytes of the file that were read so far.
    pub(super) read_bytes: u64,
}

impl Batch {
    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The file's line of the row at this place of the body.
    pub(super) fn line_of(&self, index: usize) -> u64 {
        self.lines.get(index).copied().unwrap_or_default()
    }
}

/// The batches after row `acked_rows`, in the file's order; after an error none.
pub(super) fn start(
    job: &Job,
    identity: &Identity,
    acked_rows: u64,
) -> impl Stream<Item = Result<Batch, Failure>> + use<> {
    let (sender, receiver) = mpsc::channel(QUEUED);
    let maker = Maker { job: job.clone(), identity: identity.clone() };
    // The thread ends with the receiver: every send to it fails then.
    drop(tokio::task::spawn_blocking(move || {
        if let Err(failure) = maker.run(acked_rows, &sender) {
            let _ = sender.blocking_send(Err(failure));
        }
    }));
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let batch = receiver.recv().await?;
        Some((batch, receiver))
    })
}

struct Maker {
    job: Job,
    identity: Identity,
}

impl Maker {
    fn run(&self, acked_rows: u64, to: &mpsc::Sender<Result<Batch, Failure>>) -> Result<(), Failure> {
        let file: &Path = &self.job.file;
        let mut rows = Rows::open(file, &self.job.columns)?;
        let (mut batch, mut body, mut number, mut line) = (Batch::default(), Vec::new(), 0, 0);
        while let Some(row) = rows.next() {
            number += 1;
            let row = row.map_err(|error| {
                Failure::new(format!(
                    "{} cannot be read any further after line {line}: {error}",
                    file.display()
                ))
            })?;
            line = row.0;
            if number <= acked_rows {
                continue;
            }
            batch.last_row = number;
            match row.1.and_then(|row| self.event(number, &row, &mut body)) {
                Ok(()) => batch.lines.push(line),
                Err(reason) => batch.rejected.push(RejectedRow { line, reason }),
            }
            if batch.lines.len() + batch.rejected.len() >= MAX_ROWS || body.len() >= FULL_BYTES {
                let read_bytes = rows.read_bytes.load(Ordering::Relaxed);
                let full = Batch {
                    body: std::mem::take(&mut body).into(),
                    read_bytes,
                    ..std::mem::take(&mut batch)
                };
                if to.blocking_send(Ok(full)).is_err() {
                    return Ok(());
                }
            }
        }
        if batch.last_row > 0 {
            let read_bytes = rows.read_bytes.load(Ordering::Relaxed);
            let _ = to.blocking_send(Ok(Batch { body: body.into(), read_bytes, ..batch }));
        }
        Ok(())
    }

    /// Appends the row's event as a line.
    fn event(&self, number: u64, row: &Row, body: &mut Vec<u8>) -> Result<(), String> {
        for (value, column) in
            [(&row.visitor, &self.job.columns.visitor), (&row.event, &self.job.columns.event)]
        {
            if value.is_empty() {
                return Err(format!("{column} is empty"));
            }
        }
        let event = Event {
            event: &row.event,
            anonymous_id: &row.visitor,
            message_id: self.identity.message_id(number),
            timestamp: self.time(&row.time)?,
            properties: row.properties.iter().map(|(name, value)| (name.as_str(), value)).collect(),
        };
        serde_json::to_writer(&mut *body, &event).map_err(|error| error.to_string())?;
        body.push(b'\n');
        Ok(())
    }

    fn time(&self, text: &str) -> Result<String, String> {
        let column = &self.job.columns.time;
        let ms = time::parse(text).ok_or_else(|| format!("{column} is no time: \"{text}\""))?;
        let shift_ms = self.identity.shift_minutes.unwrap_or_default() * MINUTE_MS;
        let at = Timestamp::from_millisecond(ms.saturating_add(shift_ms));
        Ok(at.map_err(|error| format!("{column}: {error}"))?.to_string())
    }
}

/// As Segment's Track spec has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'r> {
    event: &'r str,
    anonymous_id: &'r str,
    message_id: String,
    timestamp: String,
    properties: BTreeMap<&'r str, &'r Json>,
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use serde_json::Value;

    use super::super::Columns;
    use super::*;

    fn job(file: &Path) -> Job {
        Job {
            url: String::new(),
            key: String::new(),
            site: "shop".into(),
            columns: Columns {
                visitor: "who".into(),
                event: "what".into(),
                time: "when".into(),
                properties: vec![("channel".into(), "ch".into())],
            },
            shift_to_now: true,
            file: file.to_owned(),
        }
    }

    async fn batches(text: &str, acked_rows: u64) -> Vec<Batch> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.csv");
        std::fs::write(&file, text).unwrap();
        let identity = Identity::new("base", Some(2));
        start(&job(&file), &identity, acked_rows).map(Result::unwrap).collect().await
    }

    #[tokio::test]
    async fn a_row_becomes_an_event_with_its_time_moved_and_a_row_without_a_time_is_rejected() {
        let text =
            "who,what,when,ch\nann,view,2024-05-01 00:00:00,email\nbob,view,never,\n,view,2024-05-01,\n";
        let batches = batches(text, 0).await;
        assert_eq!(batches.len(), 1);
        let event: Value = serde_json::from_slice(&batches[0].body).unwrap();
        let message_id = Identity::new("base", Some(2)).message_id(1);
        assert_eq!(
            event,
            serde_json::json!({
                "event": "view", "anonymousId": "ann", "messageId": message_id,
                "timestamp": "2024-05-01T00:02:00Z", "properties": {"channel": "email"},
            })
        );
        let reasons: Vec<_> = batches[0].rejected.iter().map(|row| (row.line, row.reason.as_str())).collect();
        assert_eq!(reasons, [(3, "when is no time: \"never\""), (4, "who is empty")]);
    }

    #[tokio::test]
    async fn batches_are_bounded_and_begin_after_the_acknowledged_rows() {
        let rows: String = (0..5_000).map(|row| format!("v{row},view,2024-05-01,\n")).collect();
        let batches = batches(&format!("who,what,when,ch\n{rows}"), 500).await;
        let (sizes, lasts): (Vec<_>, Vec<_>) =
            batches.iter().map(|batch| (batch.lines.len(), batch.last_row)).unzip();
        assert_eq!((sizes, lasts), (vec![2_000, 2_000, 500], vec![2_500, 4_500, 5_000]));
        assert_eq!(batches[0].line_of(0), 502);
    }
}
