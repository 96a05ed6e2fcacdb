//! Events as JSON in whatever frame: one object, an array, or NDJSON (a line each). The bytes decide, not the content
//! type: many clients send JSON as text/plain or as a form.
//!
//! An object and an array are JSON as a whole or not at all. In NDJSON every line stands for itself: a broken line is
//! rejected and the others are kept, unless no line at all is JSON.

use memchr::memchr;

use super::event::{self, Reading};
use crate::draft::{Draft, Kind, Parsed};
use crate::json::{Scanner, SyntaxError, Value};
use crate::refusal::Refusal;
use crate::rejection::Reason;

/// So large is an event of NDJSON or more: a guess that saves the list of events from growing.
const USUAL_EVENT_BYTES: usize = 200;

/// Limits from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_event_bytes: usize,
    pub(crate) max_batch_events: usize,
}

/// Events as they are read.
pub(super) struct Collected<'a> {
    parsed: Parsed<'a>,
    limits: Limits,
    too_many: bool,
    /// In a part of a long body: the lines of the parts before.
    lines_before: Option<u64>,
}

impl<'a> Collected<'a> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { parsed: Parsed::default(), limits, too_many: false, lines_before: None }
    }

    /// Takes the next event. The first write key found counts. The draft is filled where it stays.
    pub(super) fn event(&mut self, scanner: &mut Scanner<'a>, kind: Option<Kind>) -> Result<(), SyntaxError> {
        self.too_many |= self.parsed.events.len() >= self.limits.max_batch_events;
        let max_bytes = self.limits.max_event_bytes;
        let context_before = match self.parsed.events.last() {
            Some(Ok(Draft { context: Value::Object(context), .. })) => context,
            _ => "",
        };
        let reading = Reading { kind, max_bytes, context_before };
        let start = scanner.position();
        let mut write_key = Value::Null;
        if self.too_many {
            return event::read(scanner, reading, &mut Draft::default(), &mut write_key).map(drop);
        }
        self.parsed.events.push(Ok(Draft::default()));
        let Some(Ok(draft)) = self.parsed.events.last_mut() else { return Ok(()) };
        let read = event::read(scanner, reading, draft, &mut write_key)?;
        if let (Err(rejection), Some(event)) = (read, self.parsed.events.last_mut()) {
            *event = Err(rejection);
            self.parsed.rejected.push(scanner.since(start).as_bytes());
        }
        if self.parsed.write_key.is_none() {
            self.parsed.write_key = write_key.text();
        }
        Ok(())
    }

    fn broken_line(&mut self, line: u64, text: &'a [u8], error: SyntaxError) {
        if self.parsed.events.len() >= self.limits.max_batch_events {
            self.too_many = true;
            return;
        }
        let number = self.lines_before.unwrap_or_default() + line + 1;
        let max_bytes = self.limits.max_event_bytes;
        // Of a line that is far too long only the beginning is here.
        let rejection = if self.lines_before.is_some() && text.len() > max_bytes {
            let message = format!(
                "line {number} is too long; an event has at most {max_bytes} bytes ([collector] max_event)"
            );
            Reason::EventTooLarge.because(message)
        } else {
            Reason::InvalidJson.because(format!("line {number} is not JSON: {error} of the line"))
        };
        self.parsed.events.push(Err(rejection));
        self.parsed.rejected.push(text);
    }

    pub(super) fn finish(self) -> Result<Parsed<'a>, Refusal> {
        if self.too_many {
            return Err(Refusal::TooManyEvents { limit: self.limits.max_batch_events });
        }
        Ok(self.parsed)
    }
}

/// Programs on Windows begin a text with a byte order mark.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// The body's text.
pub(super) fn utf8(body: &[u8]) -> Result<&str, Refusal> {
    let body = without_mark(body);
    std::str::from_utf8(body).map_err(|error| {
        Refusal::InvalidBody(format!("it is not UTF-8 from byte {} on", error.valid_up_to()))
    })
}

pub(super) fn invalid(error: SyntaxError) -> Refusal {
    Refusal::InvalidBody(error.to_string())
}

/// One event whose kind the path tells.
pub(super) fn single(body: &[u8], kind: Kind, limits: Limits) -> Result<Parsed<'_>, Refusal> {
    let mut scanner = Scanner::new(utf8(body)?);
    let mut collected = Collected::new(limits);
    collected.event(&mut scanner, Some(kind)).and_then(|()| scanner.end()).map_err(invalid)?;
    collected.finish()
}

/// Any number of events.
pub(super) fn parse(body: &[u8], limits: Limits) -> Result<Parsed<'_>, Refusal> {
    let body = without_mark(body);
    match body.trim_ascii_start().first() {
        Some(b'[') => array(utf8(body)?, limits),
        Some(b'{') => object_or_lines(body, limits),
        Some(_) if memchr(b'\n', body).is_some() => object_or_lines(body, limits),
        Some(_) => Err(Refusal::InvalidBody("expected `{` or `[` at its start".into())),
        None => Err(Refusal::InvalidBody("it is empty".into())),
    }
}

fn array(text: &str, limits: Limits) -> Result<Parsed<'_>, Refusal> {
    let mut scanner = Scanner::new(text);
    let mut collected = Collected::new(limits);
    scanner.array(|scanner| collected.event(scanner, None)).and_then(|()| scanner.end()).map_err(invalid)?;
    collected.finish()
}

/// NDJSON, or one object over any number of lines.
fn object_or_lines(body: &[u8], limits: Limits) -> Result<Parsed<'_>, Refusal> {
    let read = lines(body, Collected::new(limits));
    if let Ok((parsed, None)) = read {
        return Ok(parsed);
    }
    // One object may have more lines than a request may have events.
    if let Ok(text) = utf8(body) {
        let mut scanner = Scanner::new(text);
        let mut collected = Collected::new(limits);
        if collected.event(&mut scanner, None).and_then(|()| scanner.end()).is_ok() {
            return collected.finish();
        }
    }
    match read? {
        (parsed, Some(error)) if none_is_json(&parsed) => Err(invalid(error)),
        (parsed, _) => Ok(parsed),
    }
}

fn none_is_json(parsed: &Parsed<'_>) -> bool {
    parsed
        .events
        .iter()
        .all(|event| matches!(event, Err(rejection) if rejection.reason == Reason::InvalidJson))
}

/// Whole lines of a long NDJSON body, after so many lines of it. The first part decides whether it is NDJSON at all.
pub(crate) fn part(lines_before: u64, part: &[u8], limits: Limits) -> Result<Parsed<'_>, Refusal> {
    let part = if lines_before == 0 { without_mark(part) } else { part };
    let (parsed, first_error) =
        lines(part, Collected { lines_before: Some(lines_before), ..Collected::new(limits) })?;
    match first_error {
        Some(error) if lines_before == 0 && none_is_json(&parsed) => Err(invalid(error)),
        _ => Ok(parsed),
    }
}

/// Each line an event, and the first line's error if there is one.
fn lines<'a>(
    body: &'a [u8],
    mut collected: Collected<'a>,
) -> Result<(Parsed<'a>, Option<SyntaxError>), Refusal> {
    let usual = body.len() / USUAL_EVENT_BYTES;
    collected.parsed.events.reserve(usual.min(collected.limits.max_batch_events));
    let mut first_error = None;
    let (mut rest, mut line) = (body, 0);
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let (bytes, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after.get(1..).unwrap_or_default();
        if let Err(error) = read_line(bytes, &mut collected) {
            first_error.get_or_insert(error);
            collected.broken_line(line, bytes, error);
        }
        line += 1;
    }
    Ok((collected.finish()?, first_error))
}

fn read_line<'a>(line: &'a [u8], collected: &mut Collected<'a>) -> Result<(), SyntaxError> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let text = std::str::from_utf8(line)
        .map_err(|error| SyntaxError { expected: "UTF-8", at: error.valid_up_to() })?;
    let mut scanner = Scanner::new(text);
    let before = (collected.parsed.events.len(), collected.parsed.rejected.len());
    let read = collected.event(&mut scanner, None).and_then(|()| scanner.end());
    if read.is_err() {
        collected.parsed.events.truncate(before.0);
        collected.parsed.rejected.truncate(before.1);
    }
    read
}
