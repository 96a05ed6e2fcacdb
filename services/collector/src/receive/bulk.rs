//! NDJSON of any length: taken part by part, each part stored before the next one is read, so that a body costs a few
//! megabytes of memory however long it is, all of it counted against the bytes in flight. Each part must come in time.
//! The answer comes at the end and counts all parts.
//!
//! A site's quota does not fail a body in its middle, it slows it down. A part takes no more than half a burst, and waits
//! until so much is there: other requests go first, they ask for one. Where that takes longer than anybody waits, or too
//! many bodies wait, the next part is refused after all.
//!
//! A request that fails in its middle has stored the parts before it: sent again, events with an id or a time of their
//! own count once.

use std::borrow::Cow;
use std::sync::Arc;
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
use crate::outcome::{Rejected, Undecided};
use crate::quota::{Beyond, SiteQuota, Wait};
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
}

/// How large a part may be.
#[derive(Clone, Copy)]
struct PartSize {
    events: usize,
    bytes: usize,
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
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.held_bytes = bytes;
        self.permit.set(bytes)
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
        let mut progress = Progress::new(self.permit()?);
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
        lines.shrink_to(self.part_bytes());
        Ok(())
    }

    /// Stores whole lines, in parts that are bounded in bytes and in lines.
    async fn parts(&self, lines: &[u8], progress: &mut Progress) -> Result<(), Refusal> {
        let mut rest = lines;
        while !rest.is_empty() {
            if self.state.shutdown.is_requested() {
                return Err(Refusal::ShuttingDown);
            }
            let length = self.part_length(rest, self.part_size(progress.write_key.as_deref()));
            let (part, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            self.part(part, progress).await?;
            progress.permit.set(progress.held_bytes)?;
            rest = after;
        }
        Ok(())
    }

    /// Bytes of a part: enough for an event that is too large to be seen as such.
    fn part_bytes(&self) -> usize {
        BULK_PART_BYTES.max(2 * self.state.settings.max_event_bytes)
    }

    /// How many bytes of whole lines are the next part: one line at least.
    fn part_length(&self, lines: &[u8], size: PartSize) -> usize {
        let mut ends = memchr_iter(b'\n', lines).map(|end| end + 1).take(size.events);
        let first = ends.next().unwrap_or(lines.len());
        ends.take_while(|end| *end <= size.bytes).last().unwrap_or(first)
    }

    /// How large the next part may be, also for the site's quota, as far as it is known whose body it is.
    fn part_size(&self, write_key: Option<&str>) -> PartSize {
        let size = PartSize { events: self.state.settings.max_batch_events, bytes: self.part_bytes() };
        let keys = self.state.keys.load();
        let caller = keys.as_deref().and_then(|keys| self.caller(keys, write_key).ok());
        let Some(caller) = caller.filter(|_| self.import_parameter().is_none()) else { return size };
        let (events, bytes) = caller.account.quota.part();
        let least =
            |size: usize, of_quota: u64| usize::try_from(of_quota).map_or(size, |quota| size.min(quota));
        PartSize { events: least(size.events, events), bytes: least(size.bytes, bytes) }
    }

    async fn part(&self, part: &[u8], progress: &mut Progress) -> Result<(), Refusal> {
        let is_first = progress.lines == 0;
        if !is_first {
            self.wait_for_quota(part, progress).await?;
        }
        // The drafts and records of a part come to about as much again, twice.
        progress.permit.cover(progress.held_bytes + 2 * part.len())?;
        let mut parsed = adapters::part_of_lines(progress.lines, part, self.limits())?;
        let events = parsed.events.len();
        if progress.write_key.is_none() {
            progress.write_key = parsed.write_key.take().map(Cow::into_owned);
        }
        parsed.write_key = progress.write_key.clone().map(Cow::Owned);
        let beyond = if is_first { Beyond::Refused } else { Beyond::Owed };
        let arrival = Arrival { beyond, ..Arrival::now().of_bytes(part.len()) };
        let Stored { accepted, rejected } = self.store(parsed, arrival, &mut progress.permit).await?;
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

    /// Waits until the site's quota has room for a part, or refuses it.
    async fn wait_for_quota(&self, part: &[u8], progress: &Progress) -> Result<(), Refusal> {
        let events = memchr_iter(b'\n', part).count().max(1);
        let (deadline, mut waiting) = (Instant::now() + MAX_WAIT, None);
        while let Some((quota, wait)) = self.wait_of(part.len(), events, progress)? {
            waiting = waiting.or_else(|| progress.permit.wait());
            if waiting.is_none() || Instant::now() + wait.duration() > deadline {
                Undecided::new(&self.state.metrics, events).refuse();
                return Err(self.over_quota(quota.refuse(wait, events as u64)));
            }
            tokio::select! {
                () = tokio::time::sleep(wait.duration()) => {}
                () = self.state.shutdown.requested() => return Err(Refusal::ShuttingDown),
            }
        }
        Ok(())
    }

    /// How long a part must wait, and for whose quota.
    fn wait_of(
        &self,
        bytes: usize,
        events: usize,
        progress: &Progress,
    ) -> Result<Option<(Arc<SiteQuota>, Wait)>, Refusal> {
        if self.import_parameter().is_some() {
            return Ok(None);
        }
        let keys = self.state.keys.load();
        let caller = self.caller(keys.as_deref().ok_or(Refusal::NoPlan)?, progress.write_key.as_deref())?;
        let quota = &caller.account.quota;
        let wait = quota.wait(self.amount(caller, events, bytes), &self.state.addresses);
        Ok(wait.map(|wait| (Arc::clone(quota), wait)))
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
