//! From a request's events to the log: whose they are, whether the site may send so much, which of them are good, and
//! the wait until those are durable. Every way of a request ends here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::web::Bytes;
use event_log::{Message, PublishError};
use runtime::now_ms;

use super::{Incoming, State};
use crate::account::Account;
use crate::answer::Answer;
use crate::body::Permit;
use crate::draft::Parsed;
use crate::kept::Kept;
use crate::keys::Caller;
use crate::outcome::{Rejected, Undecided};
use crate::publish::publish;
use crate::quota::{Amount, Beyond, Charge, OverQuota, SiteQuota, Taken};
use crate::refusal::Refusal;
use crate::rejection::{Reason, Rejection};
use crate::skew;
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
}

/// Events on their way to the log.
pub(super) struct Prepared<'m> {
    validated: Validated,
    open: Undecided<'m>,
}

/// What validation makes of a request's events.
struct Validated {
    import: Option<Import>,
    messages: Vec<Message>,
    rejected: Vec<Rejected>,
    charged: Option<Charged>,
}

/// The import that events belong to.
struct Import {
    site: String,
    id: String,
}

/// What the events took from quotas.
struct Charged {
    quota: Arc<SiteQuota>,
    taken: Taken,
    visitors: Vec<Charge>,
}

impl Charged {
    /// The events are not stored: their client sends them again, and is not to pay twice.
    fn give_back(self, state: &State) {
        self.quota.give_back(self.taken, &state.addresses);
        self.quota.visitors(&state.visitors).give_back(&self.visitors);
    }
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
        let prepared = self.prepare(parsed, arrival, permit)?;
        self.make_durable(prepared).await
    }

    /// Validates the events: the first half of [`store`](Self::store). The body that they were read from is not needed
    /// any more.
    pub(super) fn prepare(
        &self,
        parsed: Parsed<'_>,
        arrival: Arrival,
        permit: &mut Permit,
    ) -> Result<Prepared<'_>, Refusal> {
        let mut open = Undecided::new(&self.state.metrics, parsed.events.len());
        match self.validate(parsed, arrival, permit, &mut open) {
            Ok(validated) => Ok(Prepared { validated, open }),
            Err(refusal) => {
                open.refuse();
                Err(refusal)
            }
        }
    }

    /// Waits until the good events are durable: the second half of [`store`](Self::store).
    pub(super) async fn make_durable(&self, prepared: Prepared<'_>) -> Result<Stored, Refusal> {
        let Prepared { validated: Validated { import, messages, rejected, charged }, open } = prepared;
        // An import can wait, and must be in its place when it is acknowledged: it does not go through a spill.
        let log = if import.is_some() { &self.state.direct } else { &self.state.publisher };
        let published = publish(log.as_ref(), messages, open).await;
        match published {
            Ok(accepted) => {
                if let Some(import) = import.filter(|_| accepted > 0) {
                    self.state.seen_imports.saw(&import.site, &import.id);
                }
                Ok(Stored { accepted, rejected })
            }
            Err(error) => {
                if let Some(charged) = charged {
                    charged.give_back(self.state);
                }
                Err(self.not_stored(error))
            }
        }
    }

    fn validate(
        &self,
        parsed: Parsed<'_>,
        arrival: Arrival,
        permit: &mut Permit,
        open: &mut Undecided<'_>,
    ) -> Result<Validated, Refusal> {
        let keys = self.state.keys.load();
        let keys = keys.as_deref().ok_or(Refusal::NoPlan)?;
        let caller = self.caller(keys, parsed.write_key.as_deref())?;
        open.belong_to(&caller.account.accepted);
        if let Some(share) = &caller.account.share {
            permit.belong_to(share)?;
        }
        let agent = self.agent(caller);
        let left_out = self.left_out(caller, agent.as_deref());
        // A crawler's events are thrown away: they must not use up what visitors may send.
        let taken = if left_out.is_none() { parsed.events.len() } else { 0 };
        let stand_in = match left_out {
            None => self.stand_in(caller, &parsed, arrival.received_at_ms)?,
            Some(_) => None,
        };
        let import_id = self.import_parameter();
        let charged = match import_id.as_deref() {
            Some(id) => self.check_import(caller, id).map(|()| None)?,
            None => Some(self.take_quota(caller, arrival, taken)?),
        };
        let (country, skew_threshold_ms) = (self.country(), self.state.settings.skew_threshold_ms);
        let mut validator = Validator::new(validate::Request {
            site: &caller.site.id,
            received_at_ms: arrival.received_at_ms,
            sent_at: skew::sent_at(&parsed, arrival.received_at_ms, skew_threshold_ms),
            skew_threshold_ms,
            agent,
            country: &country,
            stand_in: stand_in.as_deref(),
            import_id: import_id.as_deref().unwrap_or_default(),
            masked_but: Some(&caller.site.policy.allow_values),
            schema: caller.account.schema.as_ref().map(|schema| &schema.compiled),
            visitors: (!caller.is_secret).then(|| caller.account.quota.visitors(&self.state.visitors)),
        });
        let kept = Kept {
            rejections: self.state.rejections.as_deref(),
            site: &caller.site.id,
            endpoint: self.endpoint.label(),
            received_at_ms: arrival.received_at_ms,
        };
        let partitions = self.state.publisher.partitions();
        let (messages, rejected) =
            records(&parsed, left_out.as_ref(), &mut validator, partitions, open, &kept, caller.account);
        let over = rejected.iter().filter(|event| event.rejection.reason == Reason::VisitorQuota).count();
        caller.account.quota.visitor_refused(over as u64);
        let visitors = validator.into_visitors_charges();
        let charged =
            charged.map(|taken| Charged { quota: Arc::clone(&caller.account.quota), taken, visitors });
        let import = import_id.map(|id| Import { site: caller.site.id.clone(), id: id.into_owned() });
        Ok(Validated { import, messages, rejected, charged })
    }

    /// Takes the events from the site's quota.
    fn take_quota(&self, caller: Caller<'_>, arrival: Arrival, events: usize) -> Result<Taken, Refusal> {
        let amount = self.amount(caller, events, arrival.bytes);
        let taken = caller.account.quota.take(amount, &self.state.addresses, arrival.beyond);
        taken.map_err(|quota| self.over_quota(quota))
    }

    /// What events take from quotas. The address of a server is not a visitor's.
    pub(super) fn amount(&self, caller: Caller<'_>, events: usize, bytes: usize) -> Amount {
        let address = if caller.is_secret { None } else { self.address() };
        Amount { events: events as u64, bytes: bytes as u64, address }
    }

    pub(super) fn over_quota(&self, quota: OverQuota) -> Refusal {
        Refusal::OverQuota { quota, as_busy: self.endpoint.drops_on_429() }
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
    account: &Account,
) -> (Vec<Message>, Vec<Rejected>) {
    let mut places = Vec::with_capacity(parsed.events.len());
    let mut rejected = Vec::new();
    let (mut texts, mut flood_told, mut violation_told) = (parsed.rejected.iter(), false, false);
    let mut buffer = Vec::with_capacity(384 * parsed.events.len());
    for (index, event) in parsed.events.iter().enumerate() {
        let start = buffer.len();
        let record = event.as_ref().map_err(Clone::clone).and_then(|draft| match left_out {
            None => {
                let record = validator.record(draft, partitions, &mut buffer);
                if let Some(schema) = &account.schema {
                    schema.count(validator.violations());
                }
                record
            }
            Some(rejection) => Err(rejection.clone()),
        });
        match record {
            Ok(partition) => {
                places.push((partition, start..buffer.len()));
                // Stored all the same, where the schema is lenient: one sample of each request tells what is sent.
                if let (Some(first), Ok(draft)) = (validator.violations().first(), event)
                    && !std::mem::replace(&mut violation_told, true)
                {
                    kept.violation(draft, first);
                }
            }
            Err(rejection) => {
                open.reject(rejection.reason);
                // One sample tells of a flood as much as a hundred, which would leave no room for others'.
                let is_flood = rejection.reason == Reason::VisitorQuota;
                let is_told = is_flood && std::mem::replace(&mut flood_told, true);
                match event {
                    _ if is_told => {}
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
