//! One Segment event (`{"type","event","anonymousId","properties",…}`) to a draft. Unknown fields are read over; of a
//! field that is there twice the last one counts, as in `JSON.parse`.

use crate::draft::{Draft, Kind, When};
use crate::json::{Flaw, Scanner, SyntaxError, Value};
use crate::rejection::{Reason, Rejection};

/// An event's object: the draft, and the fields that are read but are not the draft's.
struct Fields<'d, 'a> {
    draft: &'d mut Draft<'a>,
    kind: Value<'a>,
    timestamp: Value<'a>,
    original_timestamp: Value<'a>,
    sent_at: Value<'a>,
    write_key: &'d mut Value<'a>,
}

/// How to read an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The path's; without it, the event's `type` tells.
    pub(super) kind: Option<Kind>,
    /// An event's bytes, at most.
    pub(super) max_bytes: usize,
    /// The context of the event before, or nothing: events of one client mostly repeat it, and then it is not scanned
    /// again.
    pub(super) context_before: &'a str,
}

/// Takes one value, which should be an event, and fills `draft`, which is empty; tells what is wrong with the event, if
/// anything is. `write_key` stays where there is none.
pub(super) fn read<'a>(
    scanner: &mut Scanner<'a>,
    reading: Reading<'_>,
    draft: &mut Draft<'a>,
    write_key: &mut Value<'a>,
) -> Result<Result<(), Rejection>, SyntaxError> {
    if scanner.peek() != Some(b'{') {
        let found = scanner.value()?;
        scanner.take_flaw();
        let message = format!("an event is a JSON object, not {}", found.kind());
        return Ok(Err(Reason::NotAnObject.because(message)));
    }
    let start = scanner.position();
    let mut fields = Fields::of(draft, write_key);
    scanner.object(|scanner, key| {
        let key = key.decode();
        let value = match key.as_ref() {
            "context" => scanner.value_or_known(reading.context_before)?,
            _ => scanner.value()?,
        };
        if let Some(field) = fields.field(&key) {
            *field = value;
        }
        Ok(())
    })?;
    let bytes = scanner.position() - start;
    Ok(fields.finish(reading, bytes, scanner.take_flaw()))
}

impl<'d, 'a> Fields<'d, 'a> {
    fn of(draft: &'d mut Draft<'a>, write_key: &'d mut Value<'a>) -> Self {
        let [kind, timestamp, original_timestamp, sent_at] = [Value::Null; 4];
        Self { draft, kind, timestamp, original_timestamp, sent_at, write_key }
    }

    fn field(&mut self, key: &str) -> Option<&mut Value<'a>> {
        Some(match key {
            "event" => &mut self.draft.event,
            "anonymousId" => &mut self.draft.anonymous_id,
            "userId" => &mut self.draft.user_id,
            "messageId" => &mut self.draft.message_id,
            "properties" => &mut self.draft.properties,
            "context" => &mut self.draft.context,
            "type" => &mut self.kind,
            "name" => &mut self.draft.name,
            "previousId" | "groupId" => &mut self.draft.related_id,
            "timestamp" => &mut self.timestamp,
            "sentAt" => &mut self.sent_at,
            "originalTimestamp" => &mut self.original_timestamp,
            "writeKey" => self.write_key,
            _ => return None,
        })
    }

    fn finish(self, reading: Reading<'_>, bytes: usize, flaw: Option<Flaw>) -> Result<(), Rejection> {
        let Reading { kind, max_bytes, .. } = reading;
        if bytes > max_bytes {
            let message =
                format!("the event has {bytes} bytes; at most {max_bytes} are taken ([collector] max_event)");
            return Err(Reason::EventTooLarge.because(message));
        }
        if let Some(flaw) = flaw {
            return Err(rejection_of(flaw));
        }
        self.draft.kind = match kind {
            Some(kind) => kind,
            None => kind_of(&self.kind)?,
        };
        // RudderStack's Node client sends only originalTimestamp unless its caller gives a timestamp.
        self.draft.timestamp = When::written(self.timestamp).or(When::written(self.original_timestamp));
        self.draft.sent_at = When::written(self.sent_at);
        Ok(())
    }
}

fn kind_of(value: &Value<'_>) -> Result<Kind, Rejection> {
    if value.is_null() {
        return Ok(Kind::Track);
    }
    Ok(match value.text().as_deref() {
        Some("track") => Kind::Track,
        Some("page") => Kind::Page,
        Some("screen") => Kind::Screen,
        Some("identify") => Kind::Identify,
        Some("alias") => Kind::Alias,
        Some("group") => Kind::Group,
        _ => {
            return Err(
                Reason::UnknownType.because("`type` must be track, page, screen, identify, alias or group")
            );
        }
    })
}

/// What a flaw means for its event.
pub(super) fn rejection_of(flaw: Flaw) -> Rejection {
    match flaw {
        Flaw::TooDeep => Reason::TooDeep.because("a field is nested deeper than 32 levels (MAX_NESTING)"),
        Flaw::Nul => Reason::InvalidText.because("a text contains a NUL character"),
        Flaw::LoneSurrogate => Reason::InvalidText.because("a text contains half of a surrogate pair"),
        Flaw::NumberBeyondF64 => Reason::InvalidNumber.because("a number does not fit a 64-bit float"),
    }
}
