//! From a request's events to the log: whose they are, whether the site may send so much, which of them are good, and
//! the wait until those are durable. Every way of a request ends here.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::web::Bytes;
use event_log::{Message, PublishError};
use runtime::now_ms;

use super::Incoming;
use crate::answer::Answer;
use crate::body::Permit;
use crate::draft::Parsed;
use crate::kept::Kept;
use crate::keys::Caller;
use crate::outcome::{Rejected, Undecided};
use crate::publish::publish;
use crate::quota::{Amount, Beyond};
use crate::refusal::Refusal;
use crate::rejection::Rejection;
use crate::validate::{self, Validator};

/// How a request's events came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// UTC milliseconds.
    pub(super) received_at_ms: i64,
    /// Of the body or query that they stood in.
    pub(super) bytes: usize,
    /// What becomes of them where the site's quota is used up.
    pub(super) beyond: Beyond,
}

/// What became of them.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) accepted: u64,
    pub(super) rejected: Vec<Rejected>,
    /// How long nothing more should come: what was taken is owed to the quota.
    pub(super) wait: Duration,
}

/// Events on their way to the log.
struct Prepared {
    messages: Vec<Message>,
    rejected: Vec<Rejected>,
    wait: Duration,
}

impl Arrival {
    /// Events that arrive now, and are refused beyond the quota; how many bytes they are is told when they are read.
    pub(super) fn now() -> Self {
        Self { received_at_ms: now_ms(), bytes: 0, beyond: Beyond::Refused }
    }

    pub(super) fn of_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }
}

impl Stored {
    /// The answer; `ids` names the events where the client's protocol wants that.
    pub(super) fn answer(self, ids: Vec<String>) -> Answer {
        Answer::Stored { accepted: self.accepted, rejected: self.rejected, ids }
    }
}

impl Incoming<'_> {
    /// Validates the events and waits until the good ones are durable.
    pub(super) async fn store(
        &self,
        parsed: Parsed<'_>,
        arrival: Arrival,
        permit: &mut Permit,
    ) -> Result<Stored, Refusal> {
        let mut open = Undecided::new(&self.state.metrics, parsed.events.len());
        let import_id = self.import_parameter();
        let prepared = self.prepare(parsed, arrival, import_id.as_deref(), permit, &mut open);
        let Prepared { messages, rejected, wait } = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => {
                open.refuse();
                return Err(refusal);
            }
        };
        // An import can wait, and must be in its place when it is acknowledged: it does not go through a spill.
        let log = if import_id.is_some() { &self.state.direct } else { &self.state.publisher };
        let published = publish(log.as_ref(), messages, open).await;
        let accepted = published.map_err(|error| self.not_stored(error))?;
        Ok(Stored { accepted, rejected, wait })
    }

    fn prepare(
        &self,
        parsed: Parsed<'_>,
        arrival: Arrival,
        import_id: Option<&str>,
        permit: &mut Permit,
        open: &mut Undecided<'_>,
    ) -> Result<Prepared, Refusal> {
        let keys = self.state.keys.load();
        let keys = keys.as_deref().ok_or(Refusal::NoPlan)?;
        let caller = self.caller(keys, parsed.write_key.as_deref())?;
        open.belong_to(&caller.account.accepted);
        if let Some(share) = &caller.account.share {
            permit.belong_to(share)?;
        }
        let left_out = self.left_out(caller);
        // A crawler's events are thrown away: they must not use up what visitors may send.
        let taken = if left_out.is_none() { parsed.events.len() } else { 0 };
        let wait = match import_id {
            Some(id) => self.check_import(caller, id).map(|()| Duration::ZERO)?,
            None => self.take_quota(caller, arrival, taken)?,
        };
        let country = self.country();
        let mut validator = Validator::new(validate::Request {
            site: &caller.site.id,
            received_at_ms: arrival.received_at_ms,
            sent_at: parsed.sent_at,
            skew_threshold_ms: self.state.settings.skew_threshold_ms,
            agent: self.agent(caller),
            country: &country,
            import_id: import_id.unwrap_or_default(),
            masked_but: Some(&caller.site.policy.allow_values),
        });
        let kept = Kept {
            rejections: self.state.rejections.as_deref(),
            site: &caller.site.id,
            endpoint: self.endpoint.label(),
            received_at_ms: arrival.received_at_ms,
        };
        let partitions = self.state.publisher.partitions();
        let (messages, rejected) =
            records(&parsed, left_out.as_ref(), &mut validator, partitions, open, &kept);
        Ok(Prepared { messages, rejected, wait })
    }

    /// Takes the events from the site's quota, if it has one. The address of a server is not a visitor's.
    fn take_quota(&self, caller: Caller<'_>, arrival: Arrival, events: usize) -> Result<Duration, Refusal> {
        let Some(quota) = &caller.account.quota else { return Ok(Duration::ZERO) };
        let address = if caller.is_secret { None } else { self.address() };
        let amount = Amount { events: events as u64, bytes: arrival.bytes as u64, address };
        quota
            .take(amount, &self.state.addresses, arrival.beyond)
            .map_err(|quota| Refusal::OverQuota { quota, as_busy: self.endpoint.drops_on_429() })
    }

    fn not_stored(&self, error: PublishError) -> Refusal {
        if matches!(error, PublishError::Storage(_)) {
            self.state.log_failed_at_ms.store(now_ms(), Ordering::Release);
        }
        error.into()
    }
}

/// The good events as messages and the others as the answer lists them, both in the request's order. All records of
/// a request share one buffer. Events that are left out are not judged.
fn records<'b>(
    parsed: &Parsed<'b>,
    left_out: Option<&Rejection>,
    validator: &mut Validator<'_, 'b>,
    partitions: u32,
    open: &mut Undecided<'_>,
    kept: &Kept<'_>,
) -> (Vec<Message>, Vec<Rejected>) {
    let mut places = Vec::with_capacity(parsed.events.len());
    let mut rejected = Vec::new();
    let mut texts = parsed.rejected.iter();
    let mut buffer = Vec::with_capacity(384 * parsed.events.len());
    for (index, event) in parsed.events.iter().enumerate() {
        let start = buffer.len();
        let record = event.as_ref().map_err(Clone::clone).and_then(|draft| match left_out {
            None => validator.record(draft, partitions, &mut buffer),
            Some(rejection) => Err(rejection.clone()),
        });
        match record {
            Ok(partition) => places.push((partition, start..buffer.len())),
            Err(rejection) => {
                open.reject(rejection.reason);
                match event {
                    // Of whom the site does not want events, it wants no samples either.
                    _ if left_out.is_some() => {}
                    Ok(draft) => kept.draft(draft, &rejection),
                    Err(_) => kept.text(texts.next().copied().unwrap_or_default(), &rejection),
                }
                rejected.push(Rejected { index, rejection });
            }
        }
    }
    let buffer = Bytes::from(buffer);
    let message = |(partition, place)| Message { partition, value: buffer.slice(place) };
    (places.into_iter().map(message).collect(), rejected)
}
