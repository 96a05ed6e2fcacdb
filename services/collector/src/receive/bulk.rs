//! NDJSON of any length: taken part by part, each part stored before the next one is read, so that a body costs a few
//! megabytes of memory however long it is. The answer comes at the end and counts all parts.
//!
//! A request that fails in its middle has stored the parts before it: sent again, events with an id or a time of their
//! own count once.

use std::time::Duration;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::Payload;
use futures_util::StreamExt;
use memchr::{memchr_iter, memrchr};

use super::{Incoming, now_ms};
use crate::adapters;
use crate::answer::Answer;
use crate::body::{EXPAND_STEP_BYTES, Expander, Permit};
use crate::limits::{BODY_TIMEOUT_MS, BULK_FROM_BYTES, BULK_PART_BYTES, MAX_REJECTED_LISTED};
use crate::outcome::Rejected;
use crate::refusal::Refusal;

/// What became of the parts so far.
#[derive(Default)]
struct Progress {
    lines: u64,
    events: usize,
    accepted: u64,
    /// The first ones, as an answer lists them.
    rejected: Vec<Rejected>,
}

impl Incoming<'_> {
    /// Whether a body of NDJSON is to be taken part by part.
    pub(super) fn is_bulk(&self) -> bool {
        let length = self.header(&CONTENT_LENGTH).parse().ok();
        length.is_none_or(|length: usize| length > BULK_FROM_BYTES)
            || !self.header(&CONTENT_ENCODING).is_empty()
    }

    pub(super) async fn bulk(&self, mut payload: Payload) -> Result<Answer, Refusal> {
        let settings = &self.state.settings;
        let mut permit = self.state.in_flight.permit();
        let mut expander = Expander::new(self.header(&CONTENT_ENCODING), settings.max_expanded_bytes);
        let (mut lines, mut progress) = (Vec::new(), Progress::default());
        while let Some(chunk) = next(&mut payload).await? {
            for step in chunk.chunks(EXPAND_STEP_BYTES) {
                expander.feed(step, &mut lines)?;
                permit.cover(lines.capacity())?;
                if lines.len() >= self.part_bytes() {
                    self.whole_lines(&mut lines, &mut progress, &mut permit).await?;
                }
            }
        }
        expander.finish(&mut lines)?;
        self.parts(&lines, &mut progress, &mut permit).await?;
        if progress.lines == 0 {
            return Err(Refusal::InvalidBody("it is empty".into()));
        }
        Ok(Answer::Stored { accepted: progress.accepted, rejected: progress.rejected, ids: Vec::new() })
    }

    /// Stores the lines that are complete. Of a line that is longer than a part only so much is kept that it is still
    /// too large for an event: it will be rejected, and the lines around it are not.
    async fn whole_lines(
        &self,
        lines: &mut Vec<u8>,
        progress: &mut Progress,
        permit: &mut Permit,
    ) -> Result<(), Refusal> {
        let whole = memrchr(b'\n', lines).map_or(0, |end| end + 1);
        if whole == 0 {
            lines.truncate(self.state.settings.max_event_bytes + 1);
            return Ok(());
        }
        self.parts(lines.get(..whole).unwrap_or_default(), progress, permit).await?;
        lines.drain(..whole);
        Ok(())
    }

    /// Stores whole lines, in parts that are bounded in bytes and in lines.
    async fn parts(&self, lines: &[u8], progress: &mut Progress, permit: &mut Permit) -> Result<(), Refusal> {
        let mut rest = lines;
        while !rest.is_empty() {
            if self.state.shutdown.is_requested() {
                return Err(Refusal::ShuttingDown);
            }
            let (part, after) = rest.split_at_checked(self.part_length(rest)).unwrap_or((rest, &[]));
            // The drafts and records of a part come to about as much again, twice.
            permit.cover(lines.len() + 2 * part.len())?;
            self.part(part, progress).await?;
            rest = after;
        }
        Ok(())
    }

    /// Bytes of a part: enough for an event that is too large to be seen as such.
    fn part_bytes(&self) -> usize {
        BULK_PART_BYTES.max(2 * self.state.settings.max_event_bytes)
    }

    /// How many bytes of whole lines are the next part: one line at least.
    fn part_length(&self, lines: &[u8]) -> usize {
        let mut ends =
            memchr_iter(b'\n', lines).map(|end| end + 1).take(self.state.settings.max_batch_events);
        let first = ends.next().unwrap_or(lines.len());
        let part_bytes = self.part_bytes();
        ends.take_while(|end| *end <= part_bytes).last().unwrap_or(first)
    }

    async fn part(&self, part: &[u8], progress: &mut Progress) -> Result<(), Refusal> {
        let parsed = adapters::part_of_lines(progress.lines, part, self.limits())?;
        let events = parsed.events.len();
        let Answer::Stored { accepted, rejected, .. } = self.store(parsed, now_ms()).await? else {
            return Ok(());
        };
        let room = MAX_REJECTED_LISTED.saturating_sub(progress.rejected.len());
        let places = rejected.into_iter().take(room);
        progress.rejected.extend(
            places.map(|event| Rejected { index: progress.events + event.index, rejection: event.rejection }),
        );
        progress.lines += memchr_iter(b'\n', part).count().max(1) as u64;
        progress.events += events;
        progress.accepted += accepted;
        Ok(())
    }
}

/// The next bytes of a body; each time the client has as long as for a whole body of the usual size.
async fn next(payload: &mut Payload) -> Result<Option<actix_web::web::Bytes>, Refusal> {
    let chunk = tokio::time::timeout(Duration::from_millis(BODY_TIMEOUT_MS), payload.next()).await;
    let chunk = chunk.map_err(|_| Refusal::BodyTimeout)?.transpose();
    chunk.map_err(|error| Refusal::InvalidBody(format!("it did not arrive completely: {error}")))
}
