//! A clickstream like that of a shop: visitors come in sessions of a few events, some of them often, most of them
//! seldom; a few events come twice, a few come late. The same seed gives the same stream.
//!
//! The default is 5 million events of 200,000 visitors over 7 days: 5 events a session in the mean, 10 event names of
//! which the three funnels of [`PLAN`] know most (1.5 funnels an event), 1 % duplicates, 2 % stragglers.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Event names and how often each occurs, in percent.
pub const NAMES: [(&str, u32); 10] = [
    ("page_view", 30),
    ("product_view", 18),
    ("search", 12),
    ("video_play", 10),
    ("quiz_answer", 8),
    ("download", 7),
    ("newsletter_signup", 6),
    ("cart_add", 5),
    ("checkout", 3),
    ("purchase", 1),
];

/// Where visitors come from.
pub const CHANNELS: [&str; 6] = ["direct", "search", "email", "social", "paid", "referral"];

/// Three funnels of five steps, one site.
pub const PLAN: &str = include_str!("../tracking-plan.toml");

/// When streams begin, UTC milliseconds: a minute's start.
pub const BEGIN_MS: i64 = 1_780_012_800_000;

/// A day.
pub const DAY_MS: i64 = 86_400_000;

/// Size and shape of a stream.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Events, duplicates among them.
    pub events: usize,
    /// Distinct visitors, at most.
    pub visitors: u32,
    /// Over how many days the sessions are spread.
    pub days: i64,
    /// Share of events that come twice.
    pub duplicates: f64,
    /// Share of events that come minutes to hours late.
    pub stragglers: f64,
    /// Of the random numbers.
    pub seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { events: 5_000_000, visitors: 200_000, days: 7, duplicates: 0.01, stragglers: 0.02, seed: 7 }
    }
}

/// An event of a stream, small enough to keep millions of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEvent {
    /// When it reaches the log.
    pub arrival_ms: i64,
    /// When it happened.
    pub ts: i64,
    /// Who did it.
    pub visitor: u32,
    /// Unique among distinct events.
    pub message: u32,
    /// Index into [`NAMES`].
    pub name: u8,
    /// Index into [`CHANNELS`].
    pub channel: u8,
}

/// The stream in the order in which it reaches the log.
pub fn stream(shape: &Shape) -> Vec<StreamEvent> {
    let mut rng = StdRng::seed_from_u64(shape.seed);
    let mut events = Vec::with_capacity(shape.events + 64);
    while events.len() < shape.events {
        session(shape, &mut rng, &mut events);
    }
    events.truncate(shape.events);
    events.sort_by_key(|event| event.arrival_ms);
    events
}

/// One visit: a visitor, a channel, and events some seconds apart.
fn session(shape: &Shape, rng: &mut StdRng, events: &mut Vec<StreamEvent>) {
    let visitor = skewed(rng, shape.visitors);
    let channel = rng.random_range(0..CHANNELS.len()) as u8;
    let mut ts = BEGIN_MS + rng.random_range(0..shape.days * DAY_MS);
    loop {
        let message = events.len() as u32;
        let late = rng.random_bool(shape.stragglers);
        let delay = if late { rng.random_range(60_000..6 * 3_600_000) } else { rng.random_range(20..2_000) };
        let event =
            StreamEvent { arrival_ms: ts + delay, ts, visitor, message, name: some_name(rng), channel };
        events.push(event);
        if rng.random_bool(shape.duplicates) {
            events.push(StreamEvent { arrival_ms: event.arrival_ms + rng.random_range(0..60_000), ..event });
        }
        if rng.random_bool(0.2) {
            return;
        }
        ts += rng.random_range(1_000..60_000);
    }
}

/// The busiest tenth of the visitors makes a good fifth of the visits.
fn skewed(rng: &mut StdRng, visitors: u32) -> u32 {
    let place: f64 = rng.random::<f64>().powf(1.5);
    ((place * f64::from(visitors)) as u32).min(visitors.saturating_sub(1))
}

fn some_name(rng: &mut StdRng) -> u8 {
    let mut left = rng.random_range(0..NAMES.iter().map(|(_, weight)| weight).sum());
    for (index, (_, weight)) in NAMES.iter().enumerate() {
        if left < *weight {
            return index as u8;
        }
        left -= weight;
    }
    0
}

impl StreamEvent {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        NAMES.get(usize::from(self.name)).map_or("", |(name, _)| name)
    }

    /// The visitor's channel.
    pub fn channel(&self) -> &'static str {
        CHANNELS.get(usize::from(self.channel)).copied().unwrap_or("")
    }

    /// The visitor's id as a browser would make it.
    pub fn visitor_id(&self) -> String {
        let scrambled = scramble(u64::from(self.visitor));
        format!("{:08x}-{:04x}-4c3e-9f00-{:012x}", scrambled as u32, scrambled >> 48, self.visitor)
    }

    /// The message's id; the same for duplicates.
    pub fn message_id(&self) -> String {
        let scrambled = scramble(u64::from(self.message) << 1 | 1);
        format!("{:08x}-{:04x}-4b7a-8d00-{:012x}", scrambled as u32, scrambled >> 48, self.message)
    }
}

/// Splitmix64's last steps: spreads neighbouring numbers over all bits.
fn scramble(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn small() -> Shape {
        Shape { events: 50_000, visitors: 2_000, ..Shape::default() }
    }

    #[test]
    fn a_stream_has_its_shape() {
        let events = stream(&small());
        assert_eq!(events.len(), 50_000);
        assert!(events.windows(2).all(|pair| pair[0].arrival_ms <= pair[1].arrival_ms));
        assert!(events.iter().all(|event| event.ts < event.arrival_ms));
        let distinct: HashSet<u32> = events.iter().map(|event| event.message).collect();
        let duplicates = events.len() - distinct.len();
        assert!((300..700).contains(&duplicates), "{duplicates}");
        let late = events.iter().filter(|event| event.arrival_ms - event.ts > 62_000).count();
        assert!((800..1_300).contains(&late), "{late}");
    }

    #[test]
    fn the_same_seed_gives_the_same_stream_and_another_seed_another() {
        assert_eq!(stream(&small()), stream(&small()));
        assert_ne!(stream(&small()), stream(&Shape { seed: 8, ..small() }));
    }

    #[test]
    fn ids_are_distinct_where_visitors_and_messages_are() {
        let events = stream(&small());
        let visitors: HashSet<u32> = events.iter().map(|event| event.visitor).collect();
        let ids: HashSet<String> = events.iter().map(StreamEvent::visitor_id).collect();
        assert_eq!(ids.len(), visitors.len());
        let messages: HashSet<u32> = events.iter().map(|event| event.message).collect();
        assert_eq!(events.iter().map(StreamEvent::message_id).collect::<HashSet<_>>().len(), messages.len());
    }

    #[test]
    fn the_plan_is_valid_and_has_three_funnels_of_five_steps() {
        let plan = funnel::Plan::parse("tracking-plan.toml", PLAN).unwrap();
        assert_eq!(plan.funnels.iter().map(|funnel| funnel.steps.len()).collect::<Vec<_>>(), [5, 5, 5]);
    }
}
