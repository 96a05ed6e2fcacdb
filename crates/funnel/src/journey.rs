//! One visitor's state in one funnel: the tracks now, the tracks as of everything older than the horizon (the
//! checkpoint), and the events in between (the tail), from which the tracks can be folded again when a straggler comes.
//!
//! [`fold`](crate::fold) copies a journey's bytes here, changes them and copies them back ([`codec`](crate::codec)); these
//! bytes are what memory and ClickHouse hold.

use crate::tail::{SETTLED, Tail, TailEvent};
use crate::track::{STEP_BITS, steps_in};
use crate::tracks::Tracks;

/// A visitor's whole state. Reused from event to event to spare allocations.
#[derive(Debug, Clone, Default)]
pub struct Journey {
    /// After all folded events.
    pub live: Tracks,
    /// After all folded events that left the tail.
    pub checkpoint: Tracks,
    /// By time; `live` = `checkpoint` + `tail`.
    pub tail: Tail,
    /// Events that were taken out of the tail.
    taken: Vec<TailEvent>,
}

impl Journey {
    /// Forgets everything, keeping memory.
    pub fn clear(&mut self) {
        self.live.clear();
        self.checkpoint.clear();
        self.tail.clear();
    }

    /// Moves events older than `horizon_start` from the tail into the checkpoint, all of one time together. Of an event
    /// whose own time is younger the message stays remembered, for a copy of it could still be taken for new.
    pub fn age(&mut self, horizon_start: i64, window_ms: i64) {
        if self.tail.first_ts().is_none_or(|first| first >= horizon_start) {
            return;
        }
        let mut taken = std::mem::take(&mut self.taken);
        self.tail.take_before(horizon_start, &mut taken);
        self.checkpoint.apply_all(&taken, window_ms);
        for event in taken.iter().filter(|event| event.own_ts() >= horizon_start) {
            self.tail.insert(&event.message_only());
        }
        self.taken = taken;
    }

    /// Whether an event with this message hash counted before. To be asked after [`Journey::age`]: what the tail holds then
    /// depends on times alone, not on when it was last looked at.
    pub fn remembers(&self, message: u64) -> bool {
        self.tail.remembers(message)
    }

    /// Moves all events before `ts` into the checkpoint without remembering their messages: for events that come in time
    /// order and are too many to be kept. Until they are older than the horizon the log's events of this visitor cannot be
    /// judged ([`Journey::is_settled`]).
    pub fn settle(&mut self, ts: i64, window_ms: i64) {
        let Some(until) = self
            .tail
            .iter()
            .filter(|event| event.ts < ts || event.matches == 0)
            .map(|event| event.own_ts())
            .max()
        else {
            return;
        };
        self.age(ts, window_ms);
        self.tail.keep_matches();
        self.tail.insert(&TailEvent::settled(until));
    }

    /// Whether the tail has an event of the same time that changes the same: a second one changes nothing.
    pub fn has_like(&self, event: &TailEvent) -> bool {
        let what = |event: &TailEvent| (event.ts, event.matches, event.values);
        self.tail.iter().any(|other| what(&other) == what(event))
    }

    /// Remembers of an event that it is not remembered, like those that were settled.
    pub fn settle_like(&mut self, event: &TailEvent) {
        let remembered = self.tail.iter().filter(|event| event.matches == 0).map(|event| event.own_ts());
        let until = remembered.fold(event.own_ts(), i64::max);
        self.tail.keep_matches();
        self.tail.insert(&TailEvent::settled(until));
    }

    /// Whether events that were settled are still younger than the horizon. To be asked after [`Journey::age`].
    pub fn is_settled(&self) -> bool {
        self.remembers(SETTLED)
    }

    /// Adds an event to the tail and brings `live` up to date. Returns the steps that may have changed, as bits;
    /// [`STEP_BITS`] where tracks may have gone, too.
    pub fn insert(&mut self, event: TailEvent, window_ms: i64) -> u32 {
        // Whether applying the event now equals applying the whole tail in time order.
        let in_order = self.tail.last_match_ts().is_none_or(|last| last < event.ts);
        self.tail.insert(&event);
        if event.matches == 0 {
            return 0;
        }
        if in_order {
            self.live.apply(&[event], window_ms);
            steps_in(event.matches)
        } else {
            self.refold(window_ms);
            STEP_BITS
        }
    }

    fn refold(&mut self, window_ms: i64) {
        self.live.copy_from(self.checkpoint.packed());
        self.taken.clear();
        self.taken.extend(self.tail.iter());
        self.live.apply_all(&self.taken, window_ms);
    }
}
