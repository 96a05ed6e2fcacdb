//! NDJSON of any length: taken part by part, each part stored before the next one is read, so that a body costs a few
//! megabytes of memory however long it is, all of it counted against the bytes in flight. Each part must come in time.
//! The answer comes at the end and counts all parts.
//!
//! A site's quota does not fail a body in its middle, it slows it down: parts after the first are taken whatever is left,
//! and the next one is read when what is owed was paid back. Where that takes longer than anybody waits, the next one is
//! refused after all.
//!
//! A request that fails in its middle has stored the parts before it: sent again, events with an id or a time of their
//! own count once.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::{Bytes, Payload};
use futures_util::{Stream, StreamExt};
use memchr::{memchr_iter, memrchr};
use tokio::time::{Instant, timeout_at};

use super::Incoming;
use super::store::{Arrival, Stored};
use crate::adapters;
use crate::answer::Answer;
use crate::body::{EXPAND_STEP_BYTES, Expander, Permit};
use crate::keys;
use crate::limits::{
    BODY_TIMEOUT_MS, BULK_FROM_BYTES, BULK_PART_BYTES, MAX_REJECTED_LISTED, MAX_RETRY_AFTER_S,
};
use crate::outcome::Rejected;
use crate::quota::Beyond;
use crate::refusal::Refusal;

/// A part waits no longer for its site's quota.
const MAX_WAIT: Duration = Duration::from_secs(MAX_RETRY_AFTER_S as u64);

/// What became of the parts so far.
struct Progress {
    lines: u64,
    events: usize,
    accepted: u64,
    /// The first ones, as an answer lists them.
    rejected: Vec<Rejected>,
    /// The first `writeKey` of the body: it counts for the parts after it too, as in a body that is taken at once.
    write_key: Option<String>,
    permit: Permit,
    /// Bytes of memory that the body holds between two parts.
    held_bytes: usize,
    /// How long the next part must wait for the site's quota.
    wait: Duration,
}

impl Progress {
    fn new(permit: Permit) -> Self {
        Self {
            lines: 0,
            events: 0,
            accepted: 0,
            rejected: Vec::new(),
            write_key: None,
            permit,
            held_bytes: 0,
            wait: Duration::ZERO,
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.held_bytes = bytes;
        self.permit.cover(bytes)
    }
}

impl Incoming<'_> {
    /// Whether a body of NDJSON is to be taken part by part.
    pub(super) fn is_bulk(&self) -> bool {
        let length = self.header(&CONTENT_LENGTH).parse().ok();
        length.is_none_or(|length: usize| length > BULK_FROM_BYTES)
            || !self.header(&CONTENT_ENCODING).is_empty()
    }

    pub(super) async fn bulk(&self, payload: Payload) -> Result<Answer, Refusal> {
        self.check_key_in_head()?;
        let settings = &self.state.settings;
        let mut expander = Expander::new(self.header(&CONTENT_ENCODING), settings.max_expanded_bytes);
        let mut progress = Progress::new(self.state.in_flight.permit());
        let (mut lines, mut arriving) = (Vec::new(), Arriving::new(payload));
        while let Some(chunk) = arriving.next().await? {
            for step in chunk.chunks(EXPAND_STEP_BYTES) {
                expander.feed(step, &mut lines)?;
                progress.hold(expander.held_bytes() + lines.capacity())?;
                if lines.len() >= self.part_bytes() {
                    self.whole_lines(&mut lines, &mut progress).await?;
                    arriving.part_came();
                }
            }
        }
        expander.finish(&mut lines)?;
        progress.hold(lines.capacity())?;
        self.parts(&lines, &mut progress).await?;
        if progress.lines == 0 {
            return Err(Refusal::InvalidBody("it is empty".into()));
        }
        Ok(Answer::Stored { accepted: progress.accepted, rejected: progress.rejected, ids: Vec::new() })
    }

    /// Refuses before a body is held for a key that belongs to nobody. Without one the first part may hold it.
    fn check_key_in_head(&self) -> Result<(), Refusal> {
        if keys::in_head(self.headers(), self.request.query_string()).is_some() {
            let keys = self.state.keys.load();
            self.caller(keys.as_deref().ok_or(Refusal::NoPlan)?, None)?;
        }
        Ok(())
    }

    /// Stores the lines that are complete. Of a line that is longer than a part only so much is kept that it is still
    /// too large for an event: it will be rejected, and the lines around it are not.
    async fn whole_lines(&self, lines: &mut Vec<u8>, progress: &mut Progress) -> Result<(), Refusal> {
        let whole = memrchr(b'\n', lines).map_or(0, |end| end + 1);
        if whole == 0 {
            lines.truncate(self.state.settings.max_event_bytes + 1);
            return Ok(());
        }
        self.parts(lines.get(..whole).unwrap_or_default(), progress).await?;
        lines.drain(..whole);
        Ok(())
    }

    /// Stores whole lines, in parts that are bounded in bytes and in lines.
    async fn parts(&self, lines: &[u8], progress: &mut Progress) -> Result<(), Refusal> {
        let mut rest = lines;
        while !rest.is_empty() {
            if self.state.shutdown.is_requested() {
                return Err(Refusal::ShuttingDown);
            }
            let (part, after) = rest.split_at_checked(self.part_length(rest)).unwrap_or((rest, &[]));
            // The drafts and records of a part come to about as much again, twice.
            progress.permit.cover(progress.held_bytes + 2 * part.len())?;
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
        let is_patient = progress.wait <= MAX_WAIT;
        if is_patient {
            self.pay_back(progress.wait).await?;
        }
        let mut parsed = adapters::part_of_lines(progress.lines, part, self.limits())?;
        let events = parsed.events.len();
        if progress.write_key.is_none() {
            progress.write_key = parsed.write_key.take().map(Cow::into_owned);
        }
        parsed.write_key = progress.write_key.clone().map(Cow::Owned);
        let beyond = if is_patient && progress.lines > 0 { Beyond::Owed } else { Beyond::Refused };
        let arrival = Arrival { beyond, ..Arrival::now().of_bytes(part.len()) };
        let Stored { accepted, rejected, wait } = self.store(parsed, arrival, &mut progress.permit).await?;
        let room = MAX_REJECTED_LISTED.saturating_sub(progress.rejected.len());
        let places = rejected.into_iter().take(room);
        progress.rejected.extend(
            places.map(|event| Rejected { index: progress.events + event.index, rejection: event.rejection }),
        );
        progress.lines += memchr_iter(b'\n', part).count().max(1) as u64;
        progress.events += events;
        progress.accepted += accepted;
        progress.wait = wait;
        Ok(())
    }

    /// Waits until the site may send again.
    async fn pay_back(&self, wait: Duration) -> Result<(), Refusal> {
        if wait.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.state.shutdown.requested() => Err(Refusal::ShuttingDown),
        }
    }
}

/// A body on its way: each part has as long as a whole body of the usual size.
struct Arriving<S> {
    chunks: S,
    deadline: Instant,
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Arriving<S> {
    fn new(chunks: S) -> Self {
        Self { chunks, deadline: Self::next_deadline() }
    }

    fn next_deadline() -> Instant {
        Instant::now() + Duration::from_millis(BODY_TIMEOUT_MS)
    }

    /// The next bytes.
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let chunk = timeout_at(self.deadline, self.chunks.next()).await;
        let chunk = chunk.map_err(|_| Refusal::BodyTimeout)?.transpose();
        chunk.map_err(|error| Refusal::InvalidBody(format!("it did not arrive completely: {error}")))
    }

    /// The time of the next part begins.
    fn part_came(&mut self) {
        self.deadline = Self::next_deadline();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// A byte a little before each time limit, for ever.
    fn dripping() -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin {
        Box::pin(stream::repeat(()).then(async |()| {
            tokio::time::sleep(Duration::from_millis(BODY_TIMEOUT_MS - 1_000)).await;
            Ok(Bytes::from_static(b"a"))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_drip_keep_no_request_open_unless_parts_come() {
        let mut arriving = Arriving::new(dripping());
        assert!(arriving.next().await.unwrap().is_some());
        assert_eq!(arriving.next().await, Err(Refusal::BodyTimeout));

        let mut arriving = Arriving::new(dripping());
        for _ in 0..10 {
            assert!(arriving.next().await.unwrap().is_some());
            arriving.part_came();
        }
    }
}
