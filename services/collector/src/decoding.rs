//! The way of a request's bytes to records, without HTTP, keys, quotas and a log: what `receive` does between a head and the
//! log, made of the same parts. Called by `fuzz-targets`, which holds each decoder to what it promises.
//!
//! It keeps no state: the same bytes come to the same events, but for what is random by design (the id of an event that has
//! neither id nor time, the visitor of a link that names none).

use actix_web::web::Bytes;
use runtime::settings::CollectorSettings;
use url::Url;

use crate::adapters::{self, Endpoint, Form, Limits};
use crate::body::{self, Expander};
use crate::draft::Parsed;
use crate::refusal::Refusal;
use crate::rejection::Rejection;
use crate::skew;
use crate::validate::{Request, Validator};

/// A request, as far as decoders look at it.
#[derive(Debug, Clone, Copy, Default)]
pub struct WireRequest<'a> {
    /// As in the table of paths.
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
    pub content_type: &'a str,
    pub content_encoding: &'a str,
    /// As sent.
    pub body: &'a [u8],
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Every event in the request's order: the bytes of its record (`rungs.v1.Record`), or the rule that it breaks.
    pub events: Vec<Result<Vec<u8>, Rejection>>,
    /// The write key in the body.
    pub write_key: Option<String>,
    /// The ids by which the answer names the events, where the client's protocol wants that.
    pub answer_ids: Vec<String>,
}

/// What counts for all events of a request, where a plan and a clock would tell it.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    pub site: &'a str,
    /// UTC milliseconds.
    pub received_at_ms: i64,
    /// Where a counted link may lead.
    pub destination: &'a Url,
    pub settings: &'a CollectorSettings,
}

impl WireRequest<'_> {
    /// Every event of the request, validated and masked.
    ///
    /// # Errors
    /// Why the whole request is refused; [`Refusal::NotFound`] for a path that takes no events.
    pub fn decode(&self, of: &Circumstances<'_>) -> Result<Decoded, Refusal> {
        let (endpoint, _) = adapters::find(self.path);
        let limits = of.limits();
        let form = Form::of(self.content_type);
        let parse = |text: &[u8], form| {
            endpoint.parse(text, form, limits).map(|parsed| of.decoded(&parsed, Vec::new()))
        };
        match endpoint {
            Endpoint::Pixel => parse(&adapters::parse_pixel(self.query), Form::Text),
            Endpoint::Click => {
                parse(&adapters::click::parse(self.query, of.destination, true).event, Form::Text)
            }
            Endpoint::SnowplowQuery => {
                parse(adapters::recast_snowplow_query(self.query).as_bytes(), Form::Text)
            }
            Endpoint::Vendor(vendor) => {
                let body = self.expanded(of)?;
                let recast = vendor.recast(&body)?;
                let parsed = endpoint.parse(recast.as_bytes(), Form::Text, limits)?;
                Ok(of.decoded(&parsed, vendor.answer_ids(&body)))
            }
            Endpoint::Single(_)
            | Endpoint::Jitsu(_)
            | Endpoint::Batch
            | Endpoint::Events
            | Endpoint::Beacon => parse(&self.expanded(of)?, form),
            _ => Err(Refusal::NotFound),
        }
    }

    fn expanded(&self, of: &Circumstances<'_>) -> Result<Bytes, Refusal> {
        expanded(self.body, self.content_encoding, of.settings.max_expanded_bytes).map(Bytes::from)
    }
}

impl Circumstances<'_> {
    fn limits(&self) -> Limits {
        Limits {
            max_event_bytes: self.settings.max_event_bytes,
            max_batch_events: self.settings.max_batch_events,
        }
    }

    /// NDJSON in two parts, as a long body is taken: whole lines, of which `first_bytes` and the rest of their line are
    /// the first part.
    ///
    /// # Errors
    /// Why the request is refused.
    pub fn decode_lines_in_parts(&self, lines: &[u8], first_bytes: usize) -> Result<Decoded, Refusal> {
        let after = lines.get(first_bytes..).unwrap_or_default();
        let cut = memchr::memchr(b'\n', after).map_or(lines.len(), |end| first_bytes + end + 1);
        let (first, second) = lines.split_at_checked(cut).unwrap_or((lines, &[]));
        let mut decoded = self.decoded(&adapters::part_of_lines(0, first, self.limits())?, Vec::new());
        let before = memchr::memchr_iter(b'\n', first).count() as u64;
        if !second.is_empty() {
            let parsed = adapters::part_of_lines(before.max(1), second, self.limits())?;
            decoded.events.extend(self.decoded(&parsed, Vec::new()).events);
        }
        Ok(decoded)
    }

    fn decoded(&self, parsed: &Parsed<'_>, answer_ids: Vec<String>) -> Decoded {
        let mut validator = Validator::new(Request {
            site: self.site,
            received_at_ms: self.received_at_ms,
            sent_at: skew::sent_at(parsed, self.received_at_ms, self.settings.skew_threshold_ms),
            skew_threshold_ms: self.settings.skew_threshold_ms,
            agent: None,
            country: "",
            stand_in: None,
            import_id: "",
            masked_but: Some(&[]),
            visitors: None,
            schema: None,
        });
        let events = parsed.events.iter().map(|event| {
            let mut record = Vec::new();
            let draft = event.as_ref().map_err(Clone::clone)?;
            validator.record(draft, 1, &mut record).map(|_| record)
        });
        let events = events.collect();
        Decoded { events, write_key: parsed.write_key.as_deref().map(str::to_owned), answer_ids }
    }
}

/// A body without its encodings (the header Content-Encoding, and what the bytes themselves show).
///
/// # Errors
/// When it is not in that encoding, or larger than `max_bytes`.
pub fn expanded(body: &[u8], encodings: &str, max_bytes: usize) -> Result<Vec<u8>, Refusal> {
    body::expand(Bytes::copy_from_slice(body), encodings, max_bytes).map(Vec::from)
}

/// The same of a body that arrives in pieces of `step_bytes`, as long NDJSON does: one encoding, and `max_bytes` bounds what
/// a piece may expand to.
///
/// # Errors
/// As [`expanded`].
pub fn expanded_in_steps(
    body: &[u8],
    encoding: &str,
    step_bytes: usize,
    max_bytes: usize,
) -> Result<Vec<u8>, Refusal> {
    let (mut expander, mut out) = (Expander::new(encoding, max_bytes), Vec::new());
    for step in body.chunks(step_bytes.max(1)) {
        expander.feed(step, &mut out)?;
    }
    expander.finish(&mut out).map(|()| out)
}
