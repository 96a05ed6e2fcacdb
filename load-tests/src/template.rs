//! Requests that are written once and changed in place: every event has its own message id, visitor and time at known
//! places, so that the generator spends nanoseconds an event and leaves the cores to the server.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::BenchError;
use crate::packed::Packed;
use crate::stream::NAMES;

/// What a template's requests look like.
#[derive(Debug, Clone)]
pub struct Form {
    /// Where it is posted.
    pub path: &'static str,
    /// Whose form it is.
    pub wire: Wire,
    /// Events in a request, a line each.
    pub events: usize,
    /// Visitors are drawn from this many.
    pub visitors: u64,
}

/// In whose form events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Ours: an event, or a line each.
    Lines,
    /// The same from a browser, whose `User-Agent` is judged.
    Browser,
    /// A batch of Segment's client, gzipped.
    Segment,
    /// A batch of PostHog's client, gzipped.
    PostHog,
}

impl Wire {
    /// Header lines of its own.
    pub(crate) fn headers(self) -> &'static str {
        match self {
            Self::Lines => "",
            Self::Browser => {
                "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 \
                 Safari/537.36\r\nOrigin: https://shop.example\r\n"
            }
            Self::Segment | Self::PostHog => "Content-Encoding: gzip\r\n",
        }
    }
}

/// Requests whose events change from one sending to the next: in place, or where they are packed, by turns.
#[derive(Debug, Clone)]
pub enum Requests {
    Changed(Template),
    Packed(Packed),
}

impl Requests {
    /// Those of one connection (`lane`); `run` tells the message ids of one run from those of another.
    pub fn new(form: &Form, lane: u32, run: u16) -> Result<Self, BenchError> {
        Ok(match form.wire {
            Wire::Lines | Wire::Browser => Self::Changed(Template::new(form, lane, run)),
            Wire::Segment | Wire::PostHog => Self::Packed(Packed::new(form, lane, run)?),
        })
    }

    /// The next request; where they change, its events are at `now_ms`.
    pub fn next(&mut self, now_ms: i64) -> &[u8] {
        match self {
            Self::Changed(template) => template.next(now_ms),
            Self::Packed(packed) => packed.next(),
        }
    }
}

/// A request whose events change from one sending to the next.
#[derive(Debug, Clone)]
pub struct Template {
    request: Vec<u8>,
    slots: Vec<Slot>,
    visitors: u64,
    rng: SmallRng,
    /// High half of message ids: the connection.
    lane: u32,
    next: u32,
}

/// Where the changing parts of one event are.
#[derive(Debug, Clone, Copy)]
struct Slot {
    visitor: usize,
    message: usize,
    time: usize,
}

const ID: &str = "0000000000000000";
const TIME: &str = "2026-01-01T00:00:00.000Z";

impl Template {
    /// A template for one connection (`lane`); `run` tells the message ids of one run from those of another.
    pub fn new(form: &Form, lane: u32, run: u16) -> Self {
        let mut rng = SmallRng::seed_from_u64(u64::from(lane) << 16 | u64::from(run));
        let (mut body, mut slots) = (String::new(), Vec::with_capacity(form.events));
        for index in 0..form.events {
            if index > 0 {
                body.push('\n');
            }
            slots.push(push_event(&mut body, &mut rng, run));
        }
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Write-Key: wk_bench\r\nContent-Type: application/json\r\n\
             {}Content-Length: {}\r\n\r\n",
            form.path,
            form.wire.headers(),
            body.len()
        );
        let shifted = |slot: Slot| Slot {
            visitor: slot.visitor + head.len(),
            message: slot.message + head.len(),
            time: slot.time + head.len(),
        };
        let slots = slots.into_iter().map(shifted).collect();
        Self { request: (head + &body).into_bytes(), slots, visitors: form.visitors, rng, lane, next: 0 }
    }

    /// The next request, its events at `now_ms`.
    pub fn next(&mut self, now_ms: i64) -> &[u8] {
        let time = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
        let time = format!("{time:.3}");
        for slot in &self.slots {
            let visitor = self.rng.random_range(0..self.visitors.max(1));
            put_hex(&mut self.request, slot.visitor, visitor);
            put_hex(&mut self.request, slot.message, u64::from(self.lane) << 32 | u64::from(self.next));
            put(&mut self.request, slot.time, time.as_bytes());
            self.next = self.next.wrapping_add(1);
        }
        &self.request
    }
}

/// An event's name, as often as it occurs.
pub(crate) fn drawn_name(rng: &mut SmallRng) -> &'static str {
    let mut left = rng.random_range(0..100);
    for (name, weight) in NAMES {
        if left < weight {
            return name;
        }
        left -= weight;
    }
    "page_view"
}

/// Writes an event and tells where its changing parts are.
fn push_event(body: &mut String, rng: &mut SmallRng, run: u16) -> Slot {
    let event = drawn_name(rng);
    body.push_str(&format!(r#"{{"type":"track","event":"{event}","anonymousId":"v-"#));
    let visitor = body.len();
    body.push_str(&format!(r#"{ID}","messageId":"bench-{run:04x}-"#));
    let message = body.len();
    body.push_str(&format!(r#"{ID}","timestamp":""#));
    let time = body.len();
    body.push_str(&format!(
        r#"{TIME}","properties":{{"plan":"pro","sku":"A-1001","position":3}},"context":{{"page":{{"url":"https://shop.example/?utm_source=newsletter&utm_medium=email"}}}}}}"#
    ));
    Slot { visitor, message, time }
}

fn put(request: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = request.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn put_hex(request: &mut [u8], at: usize, number: u64) {
    let Some(place) = request.get_mut(at..at + ID.len()) else { return };
    for (pair, byte) in place.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(HEX.get(usize::from(byte)).unwrap_or(b"00"));
    }
}

/// The two digits of every byte.
#[allow(clippy::indexing_slicing)] // by the compiler
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut byte = 0;
    while byte < hex.len() {
        hex[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    hex
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn form(events: usize) -> Form {
        Form { path: "/v1/events", wire: Wire::Lines, events, visitors: 50 }
    }

    fn field<'a>(line: &'a str, name: &str) -> &'a str {
        let start = line.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4;
        &line[start..start + line[start..].find('"').unwrap()]
    }

    #[test]
    fn every_event_of_every_request_has_its_own_message_id() {
        let mut template = Template::new(&form(3), 7, 1);
        let mut ids = HashSet::new();
        for _ in 0..4 {
            let request = String::from_utf8(template.next(1_780_000_000_123).to_vec()).unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}", body.len())));
            for line in body.lines() {
                assert!(ids.insert(field(line, "messageId").to_owned()));
                assert_eq!(field(line, "timestamp"), "2026-05-28T20:26:40.123Z");
                assert!(field(line, "anonymousId").starts_with("v-00000000000000"));
            }
        }
        assert_eq!(ids.len(), 12);
    }

    #[test]
    fn connections_and_runs_never_share_message_ids() {
        let id = |lane, run| {
            let request = Template::new(&form(1), lane, run).next(0).to_vec();
            field(std::str::from_utf8(&request).unwrap(), "messageId").to_owned()
        };
        assert_ne!(id(1, 1), id(2, 1));
        assert_ne!(id(1, 1), id(1, 2));
    }
}
