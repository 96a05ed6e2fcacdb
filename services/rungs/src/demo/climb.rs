//! One simulated visitor on the ladder of `examples/ladder`: the channel they come by, the variant of the first ask they
//! see, how far they climb and how long each step takes. The shares are invented, in the proportions people who sell
//! this way tell: warm mail climbs best, bought clicks worst, and the plainer ask (variant b) gets more small yeses.

use std::cmp::Ordering;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;
use serde_json::{Value, json};

/// Something that a visitor does, `at` after the stream's start.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) at: Duration,
    pub(super) event: Event,
}

/// An event without its time.
#[derive(Debug)]
pub(super) struct Event {
    body: Value,
}

struct Channel {
    name: &'static str,
    /// Of a hundred visitors.
    share: u32,
    /// Shares who take each step of those who were asked.
    yes: [f64; 5],
}

const CHANNELS: [Channel; 4] = [
    Channel { name: "email", share: 25, yes: [0.46, 0.58, 0.66, 0.24, 0.26] },
    Channel { name: "solo_ad", share: 35, yes: [0.24, 0.30, 0.42, 0.08, 0.10] },
    Channel { name: "social", share: 25, yes: [0.14, 0.36, 0.50, 0.11, 0.14] },
    Channel { name: "search", share: 15, yes: [0.31, 0.46, 0.60, 0.17, 0.21] },
];

/// A step: its ask, what follows, and the seconds before each.
struct Step {
    offer: Option<&'static str>,
    event: &'static str,
    until_offer: Range<f64>,
    until_event: Range<f64>,
    /// How much likelier a yes is with variant b.
    variant_b: f64,
}

const STEPS: [Step; 5] = [
    Step {
        offer: Some("offer_shown"),
        event: "click",
        until_offer: 0.0..0.5,
        until_event: 1.0..8.0,
        variant_b: 1.2,
    },
    Step {
        offer: Some("opt_in_shown"),
        event: "opt_in",
        until_offer: 0.5..2.0,
        until_event: 3.0..25.0,
        variant_b: 1.1,
    },
    Step { offer: None, event: "watch", until_offer: 0.0..0.1, until_event: 15.0..90.0, variant_b: 1.0 },
    Step {
        offer: Some("tripwire_shown"),
        event: "tripwire",
        until_offer: 1.0..4.0,
        until_event: 8.0..60.0,
        variant_b: 1.0,
    },
    Step {
        offer: Some("course_shown"),
        event: "purchase",
        until_offer: 1.0..5.0,
        until_event: 20.0..180.0,
        variant_b: 1.0,
    },
];

/// Everything a visitor does, in order, from the moment they come.
pub(super) fn climb(random: &mut impl Rng, visitor: &str) -> Vec<Moment> {
    let channel = channel(random);
    let variant = if random.random_bool(0.5) { "a" } else { "b" };
    let (mut at, mut moments) = (0.0, Vec::new());
    let moment = |at: f64, name: &str, moments: &mut Vec<Moment>| {
        let message_id = format!("{visitor}-{}", moments.len());
        let event = Event::new(visitor, &message_id, name, channel.name, variant);
        moments.push(Moment { at: Duration::from_secs_f64(at), event });
    };
    for (step, yes) in STEPS.iter().zip(channel.yes) {
        at += random.random_range(step.until_offer.clone());
        if let Some(offer) = step.offer {
            moment(at, offer, &mut moments);
        }
        let yes = if variant == "b" { yes * step.variant_b } else { yes };
        if !random.random_bool(yes.min(1.0)) {
            break;
        }
        at += random.random_range(step.until_event.clone());
        moment(at, step.event, &mut moments);
    }
    moments
}

fn channel(random: &mut impl Rng) -> &'static Channel {
    let [first, rest @ ..] = &CHANNELS;
    let mut left = random.random_range(0..CHANNELS.iter().map(|channel| channel.share).sum::<u32>());
    for channel in std::iter::once(first).chain(rest) {
        match left.checked_sub(channel.share) {
            Some(less) => left = less,
            None => return channel,
        }
    }
    first
}

impl Event {
    fn new(visitor: &str, message_id: &str, name: &str, channel: &str, variant: &str) -> Self {
        let mut properties = json!({ "channel": channel, "variant": variant });
        let price = match name {
            "tripwire" => Some(1.0),
            "purchase" => Some(197.0),
            _ => None,
        };
        if let (Some(price), Some(properties)) = (price, properties.as_object_mut()) {
            properties.extend([("revenue".to_owned(), json!(price)), ("currency".to_owned(), json!("USD"))]);
        }
        let body = json!({ "event": name, "anonymousId": visitor, "messageId": message_id, "properties": properties });
        Self { body }
    }

    /// The event as it happens now.
    pub(super) fn stamped(mut self) -> Value {
        if let Some(body) = self.body.as_object_mut() {
            body.insert("timestamp".to_owned(), json!(Timestamp::now().to_string()));
        }
        self.body
    }
}

impl Moment {
    /// The same, for a visitor who came `later`.
    pub(super) fn after(self, later: Duration) -> Self {
        Self { at: self.at + later, event: self.event }
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use funnel::Plan;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const PLAN: &str = include_str!("../../../../examples/ladder/tracking-plan.toml");

    #[test]
    fn a_climb_goes_up_in_time_and_has_at_most_one_of_each_event() {
        let mut random = StdRng::seed_from_u64(7);
        for visitor in 0..2_000 {
            let climb = climb(&mut random, &format!("v{visitor}"));
            assert!(climb.is_sorted_by_key(|moment| moment.at), "{climb:?}");
            assert!(climb.iter().all(|moment| moment.at < Duration::from_secs(600)));
            let names: BTreeSet<String> =
                climb.iter().map(|moment| moment.event.body["event"].to_string()).collect();
            assert_eq!(names.len(), climb.len());
        }
    }

    #[test]
    fn the_events_are_those_of_the_ladder_plan_and_some_visitors_reach_the_top() {
        let plan = Plan::parse("examples/ladder/tracking-plan.toml", PLAN).unwrap();
        let planned = plan.funnel("ladder", "ladder").unwrap();
        let names = planned.steps.iter().flat_map(|step| step.events.iter().chain(&step.offer).cloned());
        let mut random = StdRng::seed_from_u64(7);
        let climbs = (0..5_000).flat_map(|visitor| climb(&mut random, &format!("v{visitor}")));
        let sent: BTreeSet<String> =
            climbs.map(|moment| moment.event.body["event"].as_str().unwrap().to_owned()).collect();
        assert_eq!(sent, names.collect());
    }
}
