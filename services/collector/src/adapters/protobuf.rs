//! `application/x-protobuf`: one `rungs.v1.Event`, or any number of them, each with its length before it (varint), as
//! protobuf libraries write delimited streams.
//!
//! What clients may set: kind, event, visitor_id, user_id, message_id, ts_ms, properties, context, revenue_e4 with
//! has_revenue, currency. All else in the message is the collector's to say and is read over. The messages are read in
//! place: texts are slices of the body.

use super::event::rejection_of;
use super::events::Limits;
use crate::draft::{Draft, Kind, Parsed, When};
use crate::json::{Flaw, Scanner, Text, Value};
use crate::refusal::Refusal;
use crate::rejection::{Reason, Rejection};

/// Reads a body. Unless the content type says `delimited=…`, the bytes tell: a stream's lengths add up to the body
/// and each message is an event, which no single event satisfies by chance.
pub(super) fn parse(body: &[u8], delimited: Option<bool>, limits: Limits) -> Result<Parsed<'_>, Refusal> {
    let stream = || stream(body, limits);
    let single = || {
        let event = event(body, limits)?;
        Some(Parsed { events: vec![event], ..Parsed::default() })
    };
    let parsed = match delimited {
        Some(true) => stream(),
        Some(false) => single(),
        None => stream().or_else(single),
    };
    let parsed =
        parsed.ok_or_else(|| Refusal::InvalidBody("expected rungs.v1.Event, alone or delimited".into()))?;
    if parsed.events.len() > limits.max_batch_events {
        return Err(Refusal::TooManyEvents { limit: limits.max_batch_events });
    }
    Ok(parsed)
}

type Event<'a> = Result<Draft<'a>, Rejection>;

fn stream(body: &[u8], limits: Limits) -> Option<Parsed<'_>> {
    let mut parsed = Parsed::default();
    let mut rest = Wire(body);
    while !rest.0.is_empty() {
        let message = rest.bytes()?;
        parsed.events.push(event(message, limits)?);
    }
    (!parsed.events.is_empty()).then_some(parsed)
}

/// `None` if the bytes are not an event's.
fn event<'a>(message: &'a [u8], limits: Limits) -> Option<Event<'a>> {
    let mut draft = Draft::default();
    let (mut revenue, mut has_revenue, mut currency) = (0, false, "");
    let (mut properties, mut context) = ("", "");
    let mut nul = false;
    let mut rest = Wire(message);
    while !rest.0.is_empty() {
        let tag = rest.varint()?;
        let mut text = |rest: &mut Wire<'a>| {
            let text = std::str::from_utf8(rest.bytes()?).ok()?;
            nul |= text.contains('\0');
            Some(text)
        };
        match tag {
            TAG_VISITOR_ID => draft.anonymous_id = plain(text(&mut rest)?),
            TAG_USER_ID => draft.user_id = plain(text(&mut rest)?),
            TAG_MESSAGE_ID => draft.message_id = plain(text(&mut rest)?),
            TAG_EVENT => draft.event = plain(text(&mut rest)?),
            TAG_KIND => draft.kind = Kind::try_from(i32::try_from(rest.varint()?).ok()?).ok()?,
            TAG_TS_MS => draft.timestamp = ms(rest.varint()?),
            TAG_PROPERTIES => properties = text(&mut rest)?,
            TAG_CONTEXT => context = text(&mut rest)?,
            TAG_REVENUE_E4 => revenue = zigzag(rest.varint()?),
            TAG_HAS_REVENUE => has_revenue = rest.varint()? != 0,
            TAG_CURRENCY => currency = text(&mut rest)?,
            other => rest.skip(other)?,
        }
    }
    draft.revenue = has_revenue.then_some((revenue, currency));
    Some(finish(draft, message.len(), properties, context, nul, limits))
}

fn finish<'a>(
    mut draft: Draft<'a>,
    bytes: usize,
    properties: &'a str,
    context: &'a str,
    nul: bool,
    limits: Limits,
) -> Event<'a> {
    if bytes > limits.max_event_bytes {
        let max = limits.max_event_bytes;
        let message = format!("the event has {bytes} bytes; at most {max} are taken ([collector] max_event)");
        return Err(Reason::EventTooLarge.because(message));
    }
    if nul {
        return Err(rejection_of(Flaw::Nul));
    }
    draft.properties = json(properties, "properties")?;
    draft.context = json(context, "context")?;
    Ok(draft)
}

fn json<'a>(text: &'a str, field: &str) -> Result<Value<'a>, Rejection> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let mut scanner = Scanner::new(text);
    let value = scanner.value().and_then(|value| scanner.end().map(|()| value));
    match (value, scanner.take_flaw()) {
        (Err(error), _) => Err(Reason::InvalidField.because(format!("`{field}` is not JSON: {error}"))),
        (_, Some(flaw)) => Err(rejection_of(flaw)),
        (Ok(value), None) => Ok(value),
    }
}

fn plain(text: &str) -> Value<'_> {
    Value::Text(Text::plain(text))
}

/// 0, which protobuf does not write, is no time.
fn ms(varint: u64) -> When<'static> {
    match varint.cast_signed() {
        0 => When::Absent,
        ms => When::Ms(ms),
    }
}

fn zigzag(varint: u64) -> i64 {
    (varint >> 1).cast_signed() ^ -((varint & 1).cast_signed())
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

const TAG_VISITOR_ID: u64 = 2 << 3 | BYTES;
const TAG_USER_ID: u64 = 3 << 3 | BYTES;
const TAG_MESSAGE_ID: u64 = 4 << 3 | BYTES;
const TAG_EVENT: u64 = 5 << 3 | BYTES;
const TAG_KIND: u64 = 6 << 3 | VARINT;
const TAG_TS_MS: u64 = 7 << 3 | VARINT;
const TAG_PROPERTIES: u64 = 10 << 3 | BYTES;
const TAG_CONTEXT: u64 = 11 << 3 | BYTES;
const TAG_REVENUE_E4: u64 = 12 << 3 | VARINT;
const TAG_HAS_REVENUE: u64 = 13 << 3 | VARINT;
const TAG_CURRENCY: u64 = 14 << 3 | BYTES;

/// Protobuf's wire format; what is left of a message.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn skip(&mut self, tag: u64) -> Option<()> {
        // Field 0 does not exist; a field of the contract with another wire type is none of ours.
        if tag >> 3 == 0 || matches!(tag >> 3, 2..=7 | 10..=14) {
            return None;
        }
        match tag & 7 {
            VARINT => drop(self.varint()?),
            FIXED64 => drop(self.take(8)?),
            BYTES => drop(self.bytes()?),
            FIXED32 => drop(self.take(4)?),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;
    use rungs_proto::v1;

    const LIMITS: Limits = Limits { max_event_bytes: 32 << 10, max_batch_events: 100 };

    fn text(value: &Value<'_>) -> String {
        value.text().unwrap_or_default().into_owned()
    }

    fn events() -> impl Strategy<Value = Vec<v1::Event>> {
        let event =
            ("[a-z]{1,20}", "[a-z0-9-]{1,60}", any::<i64>(), any::<Option<i64>>(), 0i32..6, "[A-Z]{0,3}");
        let event = event.prop_map(|(event, visitor_id, ts_ms, revenue, kind, currency)| v1::Event {
            event,
            visitor_id,
            ts_ms,
            revenue_e4: revenue.unwrap_or_default(),
            has_revenue: revenue.is_some(),
            currency,
            kind,
            properties: "{\"a\":1}".into(),
            received_at_ms: 7,
            ..v1::Event::default()
        });
        proptest::collection::vec(event, 1..20)
    }

    fn same(event: &v1::Event, read: &Event<'_>) {
        let draft = read.as_ref().unwrap();
        assert_eq!(text(&draft.event), event.event);
        assert_eq!(text(&draft.anonymous_id), event.visitor_id);
        assert_eq!(draft.kind as i32, event.kind);
        assert_eq!(draft.timestamp, if event.ts_ms == 0 { When::Absent } else { When::Ms(event.ts_ms) });
        assert_eq!(draft.revenue, event.has_revenue.then_some((event.revenue_e4, event.currency.as_str())));
        assert_eq!(draft.properties, Value::Object("{\"a\":1}"));
    }

    proptest! {
        #[test]
        fn what_prost_writes_is_read_and_told_apart_without_a_hint(events in events()) {
            let stream: Vec<u8> = events.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
            let parsed = parse(&stream, None, LIMITS).unwrap();
            prop_assert_eq!(parsed.events.len(), events.len());
            events.iter().zip(&parsed.events).for_each(|(event, read)| same(event, read));
            let alone = events[0].encode_to_vec();
            let parsed = parse(&alone, None, LIMITS).unwrap();
            prop_assert_eq!(parsed.events.len(), 1);
            same(&events[0], &parsed.events[0]);
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for delimited in [None, Some(true), Some(false)] {
                let _ = parse(&bytes, delimited, LIMITS);
            }
        }
    }
}
