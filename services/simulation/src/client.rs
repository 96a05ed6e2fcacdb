//! Websites: they send events, some of them again, late or with another correction of their time, until they are
//! acknowledged or they give up.

use std::collections::{BTreeSet, VecDeque};

use event_log::{Message, partition_of};
use prost::Message as _;
use rungs_proto::v1::record::Body;
use rungs_proto::v1::{Event, Record};

use crate::fate::Fate;
use crate::linker;
use crate::plans::CHANNELS;
use crate::weather::Weather;

/// An event's own time at which a build from raw panics: the way from its time there is no number. Whoever follows the
/// log takes the event for late. A stand-in for defects that nobody knows.
pub const POISON_MS: i64 = i64::MIN;

/// (site, visitor, message): what tells events apart.
pub type EventKey = (String, String, String);

/// The events of one call.
#[derive(Debug, Clone)]
pub struct Request(pub Vec<Event>);

impl Request {
    /// As the collector hands them to the log.
    pub fn messages(&self, partitions: u32) -> Vec<Message> {
        let message = |event: &Event| Message {
            partition: partition_of(&event.site, &event.visitor_id, partitions),
            value: Record { body: Some(Body::Event(event.clone())) }.encode_to_vec().into(),
        };
        self.0.iter().map(message).collect()
    }

    /// Its messages' ids.
    pub fn names(&self) -> String {
        self.0.iter().map(|event| event.message_id.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// What tells an event apart.
pub fn key_of(event: &Event) -> EventKey {
    (event.site.clone(), event.visitor_id.clone(), event.message_id.clone())
}

/// All clients together.
pub struct Clients {
    fate: Fate,
    copies: u64,
    poison: u64,
    /// Everything that was ever sent.
    sent: Vec<Event>,
    again: VecDeque<Request>,
    /// What the collectors said they have.
    pub acknowledged: BTreeSet<EventKey>,
}

impl Clients {
    /// Nobody sent anything yet.
    pub fn new(fate: Fate, weather: &Weather) -> Self {
        let (sent, again, acknowledged) = Default::default();
        Self { fate, copies: weather.copies, poison: weather.poison, sent, again, acknowledged }
    }

    /// The next call: a new one, or one of before.
    pub fn next_call(&mut self) -> Request {
        if self.fate.percent(40)
            && let Some(request) = self.again.pop_front()
        {
            self.fate.note("a call was sent again");
            return request;
        }
        let events = (0..1 + self.fate.below(3)).map(|_| self.event()).collect();
        Request(events)
    }

    /// A call that waits to be sent again.
    pub fn next_again(&mut self) -> Option<Request> {
        self.again.pop_front()
    }

    /// A collector's answer.
    pub fn answered(&mut self, request: Request, accepted: bool) {
        if accepted {
            self.acknowledged.extend(request.0.iter().map(key_of));
        } else if self.fate.percent(85) {
            self.again.push_back(request);
        }
    }

    fn event(&mut self) -> Event {
        if self.fate.percent(self.copies)
            && let Some(event) = self.copy()
        {
            return event;
        }
        let now_ms = self.fate.now_ms();
        let ts_ms =
            now_ms - self.fate.span_ms(*self.fate.pick(&[0, 0, 1_000, 60_000, 500_000, 900_000, 4_000_000]));
        let own_ts_ms = match self.fate.below(10) {
            0 => ts_ms - self.fate.span_ms(900_000),
            1 => ts_ms + self.fate.span_ms(900_000),
            _ if self.fate.percent(self.poison) => POISON_MS,
            _ => ts_ms,
        };
        let site = *self.fate.pick(&["s", "s", "t"]);
        let (visitor_id, user_id) = self.ids(site);
        let event = Event {
            site: site.into(),
            visitor_id,
            user_id,
            message_id: format!("m{}", self.sent.len()),
            event: (*self.fate.pick(&["a", "b", "c", "o", "d"])).into(),
            ts_ms,
            own_ts_ms,
            received_at_ms: now_ms,
            channel: (*self.fate.pick(&CHANNELS)).into(),
            ..Event::default()
        };
        self.sent.push(event.clone());
        event
    }

    /// Whose an event is, and the user that it names: where ids are joined, devices have users, some more than one, and servers
    /// know the user alone.
    fn ids(&self, site: &str) -> (String, String) {
        let visitor = format!("v{}", self.fate.below(5));
        if site != linker::SITE {
            return (visitor, String::new());
        }
        let user = *self.fate.pick(&["", "", "u0", "u1", "guest"]);
        let is_servers = user.starts_with('u') && self.fate.percent(25);
        (if is_servers { user.to_owned() } else { visitor }, user.to_owned())
    }

    /// An event of before; now and then its time is corrected otherwise.
    fn copy(&mut self) -> Option<Event> {
        let back = self.fate.below(20) as usize;
        let mut event = self.sent.iter().rev().nth(back)?.clone();
        if self.fate.percent(20) {
            event.ts_ms = self.fate.now_ms() - self.fate.span_ms(900_000);
        }
        self.fate.note("a copy was sent");
        Some(event)
    }
}
