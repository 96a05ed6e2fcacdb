//! From a draft to a record on the log, or to a rejection: the rules of one event, in the order in which the docs list
//! them. Pure: the time of receipt and everything about the request come in.
//!
//! Buffers are kept from event to event, so that an event of a batch costs no allocation but its record's bytes.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::LazyLock;

use funnel::plan::{CompiledSchema, Enforcement};
use memchr::memmem::Finder;

use crate::derive::user_agent::{self, Agent};
use crate::derive::{channel, context, message_id, revenue};
use crate::draft::{Draft, Kind, When};
use crate::json::{Scanner, Value};
use crate::limits::{
    MAX_EVENT_NAME_BYTES, MAX_FUTURE_MS, MAX_MESSAGE_ID_BYTES, MAX_VISITOR_ID_BYTES, MIN_TIMESTAMP_MS,
};
use crate::mask;
use crate::properties;
use crate::quota::{Charge, VisitorsOfSite};
use crate::record::{Event, Origin};
use crate::rejection::{Reason, Rejection};
use crate::skew;
use crate::timestamp;

const VISITOR_QUOTA: &str = "the visitor sends more than visitor_events_per_second of the site's limits allows, \
    or than is allowed where the plan names none; a server that sends for many has a secret key, or an id for each";
/// So large is the stored part of a context at most, usually: it then takes one allocation.
const USUAL_CONTEXT_BYTES: usize = 256;

/// What holds for all events of a request.
#[derive(Debug)]
pub(crate) struct Request<'r> {
    pub(crate) site: &'r str,
    /// UTC milliseconds.
    pub(crate) received_at_ms: i64,
    /// When the client says that it sent the request, as [`skew::sent_at`] gives it.
    pub(crate) sent_at: When<'r>,
    /// Client clocks that differ by less are not corrected.
    pub(crate) skew_threshold_ms: i64,
    /// From the header of a browser.
    pub(crate) agent: Option<Rc<Agent>>,
    /// Two letters from a trusted proxy's header, or nothing.
    pub(crate) country: &'r str,
    /// The visitor of events that name none, where the site asks for no ids.
    pub(crate) stand_in: Option<&'r str>,
    /// The import that the request belongs to, or nothing.
    pub(crate) import_id: &'r str,
    /// The properties whose values are not masked; with none of this, nothing is.
    pub(crate) masked_but: Option<&'r [String]>,
    /// How much each visitor may send; with none of this, any number of events.
    pub(crate) visitors: Option<VisitorsOfSite<'r>>,
    /// What the site's events are held to.
    pub(crate) schema: Option<&'r CompiledSchema>,
}

/// Validates the events of one request, one after the other. `'b` is the request's body.
#[derive(Debug)]
pub(crate) struct Validator<'r, 'b> {
    request: Request<'r>,
    context: Option<Context<'b>>,
    hash_input: Vec<u8>,
    /// What the last event broke of the site's schema.
    violations: Vec<Rejection>,
}

/// What the last event's context came to; the next event's context is mostly the same.
#[derive(Debug)]
struct Context<'b> {
    /// As sent.
    text: &'b str,
    /// The part that is stored.
    stored: String,
    /// An encoded [`Origin`].
    origin: Vec<u8>,
}

/// An event's times, UTC milliseconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    corrected: i64,
    own: i64,
    /// Whether the client gave a time.
    given: bool,
}

impl<'b> Context<'b> {
    fn of(text: &'b str, request: &Request<'_>) -> Self {
        let (stored, origin) =
            (String::with_capacity(USUAL_CONTEXT_BYTES), Vec::with_capacity(USUAL_CONTEXT_BYTES));
        let mut context = Self { text, stored, origin };
        context.read(text, request);
        context
    }

    fn read(&mut self, text: &'b str, request: &Request<'_>) {
        self.text = text;
        let mut found = context::reduce(text, &mut self.stored);
        if request.masked_but.is_some() {
            if let Some(masked) = mask::json(&self.stored, &[]) {
                self.stored = masked;
            }
            found.campaign.mask();
        }
        let agent = found.user_agent.as_deref().map(user_agent::agent).or_else(|| request.agent.clone());
        let (device, browser, os) =
            agent.as_deref().map_or(("", "", ""), |agent| (agent.device, &agent.browser, &agent.os));
        self.origin.clear();
        Origin {
            channel: channel::channel(&found.campaign, &found.referrer, &found.page),
            source: &found.campaign.source,
            medium: &found.campaign.medium,
            campaign: &found.campaign.name,
            content: &found.campaign.content,
            device: first(device, found.device.as_deref()),
            browser,
            os: first(os, found.os.as_deref()),
            country: request.country,
            import_id: request.import_id,
        }
        .encode(&mut self.origin);
    }
}

impl<'r, 'b> Validator<'r, 'b> {
    pub(crate) fn new(request: Request<'r>) -> Self {
        Self { request, context: None, hash_input: Vec::new(), violations: Vec::new() }
    }

    /// What the last event broke of the site's schema, whether it is stored or not.
    pub(crate) fn violations(&self) -> &[Rejection] {
        &self.violations
    }

    fn check_schema(&mut self, event: &str, properties: &str) -> Result<(), Rejection> {
        let Some(schema) = self.request.schema else { return Ok(()) };
        let broken = schema.check(event, properties).into_iter();
        self.violations =
            broken.map(|violation| Reason::of_rule(violation.rule).because(violation.message)).collect();
        match (schema.enforcement(), self.violations.first()) {
            (Enforcement::Strict, Some(violation)) => Err(violation.clone()),
            _ => Ok(()),
        }
    }

    /// What was taken from visitors' quotas, to be given back where the events are not stored.
    pub(crate) fn into_visitors_charges(self) -> Vec<Charge> {
        self.request.visitors.map(VisitorsOfSite::into_charges).unwrap_or_default()
    }

    /// Appends the event's record to `out` and tells its partition of `partitions`.
    pub(crate) fn record(
        &mut self,
        draft: &Draft<'b>,
        partitions: u32,
        out: &mut Vec<u8>,
    ) -> Result<u32, Rejection> {
        self.violations.clear();
        let name = event_name(draft)?;
        let user_id = visitor(&draft.user_id, "userId")?;
        let anonymous_id = visitor(&draft.anonymous_id, "anonymousId")?;
        let named = anonymous_id.as_deref().or(user_id.as_deref()).or(self.request.stand_in);
        let visitor_id = named.ok_or_else(|| {
            Reason::MissingVisitor.because("an event needs `anonymousId` or `userId` (a text or a number)")
        })?;
        let own_message_id = own_message_id(&draft.message_id)?;
        let sent = properties::of(draft, object(&draft.properties, "properties")?);
        let context = object(&draft.context, "context")?;
        let times = self.times(draft)?;
        self.check_schema(&name, &sent)?;
        if self.request.visitors.as_mut().is_some_and(|visitors| !visitors.take(visitor_id)) {
            return Err(Reason::VisitorQuota.because(VISITOR_QUOTA));
        }

        let message_id = own_message_id.unwrap_or_else(|| {
            let identity = message_id::Identity {
                site: self.request.site,
                visitor_id,
                kind: draft.kind,
                event: &name,
                own_ts_ms: times.own,
                // Events that differ in what is masked alone are no copies, and no plan changes an id.
                properties: &sent,
            };
            Cow::Owned(match times.given {
                true => message_id::derived(identity, &mut self.hash_input),
                false => message_id::random(),
            })
        });
        let properties = self.masked(sent);
        let read = self.context.get_or_insert_with(|| Context::of(context, &self.request));
        if read.text != context {
            read.read(context, &self.request);
        }
        let (revenue_e4, currency) = match draft.revenue {
            Some((e4, currency)) => (Some(e4), Cow::Owned(revenue::currency(currency))),
            None => revenue_of(&properties),
        };
        Event {
            site: self.request.site,
            visitor_id,
            user_id: user_id.as_deref().unwrap_or_default(),
            message_id: &message_id,
            event: &name,
            kind: draft.kind,
            ts_ms: times.corrected,
            own_ts_ms: times.own,
            received_at_ms: self.request.received_at_ms,
            properties: &properties,
            context: &read.stored,
            revenue_e4,
            currency: &currency,
            origin: &read.origin,
        }
        .encode(out);
        Ok(event_log::partition_of(self.request.site, visitor_id, partitions))
    }

    /// The client's time, corrected by the difference of the clocks where that is large.
    fn times(&self, draft: &Draft<'_>) -> Result<Times, Rejection> {
        let received = self.request.received_at_ms;
        let own = timestamp::read(draft.timestamp).map_err(|()| {
            Reason::InvalidTimestamp
                .because("`timestamp` must be ISO 8601 or seconds or milliseconds since 1970")
        })?;
        let Some(own) = own else {
            return Ok(Times { corrected: received, own: received, given: false });
        };
        let in_range =
            |time: &i64| (MIN_TIMESTAMP_MS..=received.saturating_add(MAX_FUTURE_MS)).contains(time);
        let sent = timestamp::read(draft.sent_at.or(self.request.sent_at)).ok().flatten();
        let corrected = sent.and_then(|sent| self.corrected(own, sent)).filter(in_range).unwrap_or(own);
        if !in_range(&corrected) {
            let message = "the time of the event is before the year 2000 or more than a day in the future";
            return Err(Reason::TimestampOutOfRange.because(message));
        }
        Ok(Times { corrected: corrected.min(received), own, given: true })
    }
}

impl Validator<'_, '_> {
    /// The properties as they are stored.
    fn masked<'p>(&self, properties: Cow<'p, str>) -> Cow<'p, str> {
        let masked = self.request.masked_but.and_then(|allowed| mask::json(&properties, allowed));
        masked.map_or(properties, Cow::Owned)
    }

    /// The event's time by our clock, if the client's is clearly wrong.
    fn corrected(&self, own: i64, sent: i64) -> Option<i64> {
        let is_live = self.request.import_id.is_empty();
        let skew = skew::of(sent, self.request.received_at_ms, self.request.skew_threshold_ms)?;
        (is_live && !skew::is_stale(sent, own)).then(|| own.saturating_add(skew))
    }
}

/// What the User-Agent tells, else what the client's context says.
fn first<'a>(told: &'a str, said: Option<&'a str>) -> &'a str {
    if told.is_empty() { said.unwrap_or_default() } else { told }
}

fn event_name<'a>(draft: &Draft<'a>) -> Result<Cow<'a, str>, Rejection> {
    let fixed = match draft.kind {
        Kind::Track => return track_name(&draft.event),
        Kind::Page => "$page",
        Kind::Screen => "$screen",
        Kind::Identify => "$identify",
        Kind::Alias => "$alias",
        Kind::Group => "$group",
    };
    Ok(Cow::Borrowed(fixed))
}

fn track_name<'a>(event: &Value<'a>) -> Result<Cow<'a, str>, Rejection> {
    let name = match event {
        Value::Text(_) | Value::Null => event.text(),
        other => return Err(wrong_type("event", "a text", other)),
    };
    let name = name.ok_or_else(|| Reason::MissingEvent.because("a track event needs a name in `event`"))?;
    if name.len() > MAX_EVENT_NAME_BYTES {
        return Err(too_long(Reason::InvalidEvent, "event", name.len(), MAX_EVENT_NAME_BYTES));
    }
    let ascii_control = name.bytes().any(|byte| byte.is_ascii_control());
    if ascii_control || (!name.is_ascii() && name.chars().any(char::is_control)) {
        return Err(Reason::InvalidEvent.because("`event` contains control characters"));
    }
    Ok(name)
}

fn visitor<'a>(value: &Value<'a>, field: &str) -> Result<Option<Cow<'a, str>>, Rejection> {
    id(value, field, Reason::InvalidVisitor, MAX_VISITOR_ID_BYTES)
}

fn own_message_id<'a>(value: &Value<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    id(value, "messageId", Reason::InvalidMessageId, MAX_MESSAGE_ID_BYTES)
}

/// A text or a number; `null` and the empty text are none.
fn id<'a>(
    value: &Value<'a>,
    field: &str,
    reason: Reason,
    max_bytes: usize,
) -> Result<Option<Cow<'a, str>>, Rejection> {
    match value {
        Value::Null | Value::Text(_) | Value::Number(_) => {}
        other => return Err(wrong_type(field, "a text or a number", other)),
    }
    match value.text_or_number() {
        Some(id) if id.len() > max_bytes => Err(too_long(reason, field, id.len(), max_bytes)),
        id => Ok(id),
    }
}

fn object<'a>(value: &Value<'a>, field: &str) -> Result<&'a str, Rejection> {
    match value {
        Value::Null => Ok(""),
        Value::Object(text) => Ok(text),
        other => Err(wrong_type(field, "an object", other)),
    }
}

/// `properties.revenue` in 1/10,000 and `properties.currency`; the currency alone means nothing.
fn revenue_of(properties: &str) -> (Option<i64>, Cow<'static, str>) {
    static REVENUE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"revenue\""));
    let none = (None, Cow::Borrowed(""));
    if REVENUE.find(properties.as_bytes()).is_none() {
        return none;
    }
    let (mut revenue, mut currency) = (Value::Null, Value::Null);
    let _ = Scanner::new(properties).object(|scanner, key| {
        let value = scanner.value()?;
        match key.decode().as_ref() {
            "revenue" => revenue = value,
            "currency" => currency = value,
            _ => {}
        }
        Ok(())
    });
    match revenue.text_or_number().and_then(|text| revenue::e4(&text)) {
        None => none,
        e4 => (e4, Cow::Owned(currency.text().map(|code| revenue::currency(&code)).unwrap_or_default())),
    }
}

fn wrong_type(field: &str, wanted: &str, found: &Value<'_>) -> Rejection {
    Reason::InvalidField.because(format!("`{field}` must be {wanted}, not {}", found.kind()))
}

fn too_long(reason: Reason, field: &str, bytes: usize, max_bytes: usize) -> Rejection {
    reason.because(format!("`{field}` has {bytes} bytes; at most {max_bytes} are taken"))
}
