//! What makes two funnels count the same thing, as a number. Progress, completeness and history are kept under it: a
//! funnel whose hash changes is counted anew from the raw events, one whose hash stays is not.
//!
//! The encoding is explicit and versioned, and every text is preceded by its length, so that the hash depends neither
//! on the Rust version nor on how fields are cut. Names and commitments are for people and are left out.

use xxhash_rust::xxh3::xxh3_64;

use super::{Breakdown, Condition, Filter, Funnel, Identity, Step, Window};

/// Changes with the encoding below; a change lets every funnel be counted anew.
const ENCODING: u8 = 1;

impl Funnel {
    /// The hash of everything that decides what is counted, with the horizon that decides what is late. Stable over
    /// builds and machines.
    pub fn definition_hash(&self, horizon_ms: i64) -> u64 {
        let mut encoder = Encoder { bytes: vec![ENCODING] };
        encoder.text(&self.site);
        encoder.text(&self.id);
        encoder.number(horizon_ms);
        encoder.window(&self.conversion_window);
        encoder.list(&self.rolling_windows, Encoder::window);
        encoder.list(&self.breakdowns, Encoder::breakdown);
        encoder.list(&self.steps, Encoder::step);
        // The usual one has no byte: it was there before there was another.
        if self.identity == Identity::Links {
            encoder.text("links");
        }
        xxh3_64(&encoder.bytes)
    }
}

struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }

    fn number(&mut self, number: i64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    fn length(&mut self, length: usize) {
        self.bytes.extend_from_slice(&(length as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut encode: impl FnMut(&mut Self, &T)) {
        self.length(items.len());
        items.iter().for_each(|item| encode(self, item));
    }

    fn optional<T>(&mut self, item: Option<&T>, encode: impl FnOnce(&mut Self, &T)) {
        self.tag(u8::from(item.is_some()));
        if let Some(item) = item {
            encode(self, item);
        }
    }

    /// With its label: history rows and metrics carry it.
    fn window(&mut self, window: &Window) {
        self.text(&window.label);
        self.number(window.ms);
    }

    fn breakdown(&mut self, breakdown: &Breakdown) {
        self.text(&breakdown.by);
        self.list(&breakdown.values, |encoder, value| encoder.text(value));
    }

    fn step(&mut self, step: &Step) {
        self.text(&step.id);
        self.list(&step.events, |encoder, event| encoder.text(event));
        self.optional(step.filter.as_ref(), Self::filter);
        self.optional(step.offer.as_ref(), |encoder, offer| encoder.text(offer));
    }

    fn filter(&mut self, filter: &Filter) {
        self.text(&filter.property);
        match &filter.condition {
            Condition::In(values) => {
                self.tag(1);
                self.list(values, |encoder, value| encoder.text(value));
            }
            Condition::Range { min, max } => {
                self.tag(2);
                self.optional(min.as_ref(), Self::fraction);
                self.optional(max.as_ref(), Self::fraction);
            }
            Condition::Matches(regex) => {
                self.tag(3);
                self.text(regex.as_str());
            }
            Condition::Exists(exists) => {
                self.tag(4);
                self.tag(u8::from(*exists));
            }
        }
    }

    /// Adding 0 makes -0 and 0, which compare equal, one number.
    fn fraction(&mut self, number: &f64) {
        self.bytes.extend_from_slice(&(number + 0.0).to_bits().to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;
    use crate::plan::Commitment;

    type Change = Box<dyn Fn(&mut Funnel)>;

    const HORIZON_MS: i64 = 86_400_000;

    fn funnel() -> Funnel {
        let text = r#"
[[sites]]
id = "shop"
write_keys = ["wk"]
[[funnels]]
site = "shop"
id = "purchase"
conversion_window = "7d"
rolling_windows = ["24h", "7d"]
breakdowns = ["channel", { by = "plan", values = ["free", "pro"] }]
[[funnels.steps]]
id = "view"
event = ["product_view", "quick_view"]
where = { property = "plan", in = ["pro", "team"] }
offer = "card_seen"
commitment = "click"
[[funnels.steps]]
id = "cart"
event = "add_to_cart"
where = { property = "value", min = 1 }
[[funnels.steps]]
id = "pay"
event = "pay"
where = { property = "path", matches = "^/pay" }
[[funnels.steps]]
id = "buy"
event = "purchase"
where = { property = "order", exists = true }
"#;
        Plan::parse("plan.toml", text).unwrap().funnels.remove(0)
    }

    #[test]
    fn the_hash_of_a_funnel_is_the_same_in_every_build() {
        assert_eq!(funnel().definition_hash(HORIZON_MS), 7_750_258_308_064_181_173);
    }

    #[test]
    fn names_and_commitments_do_not_change_it() {
        let before = funnel().definition_hash(HORIZON_MS);
        let mut funnel = funnel();
        funnel.name = "Another".into();
        for step in &mut funnel.steps {
            step.name = "Another".into();
            step.commitment = Commitment::Refer;
        }
        assert_eq!(funnel.definition_hash(HORIZON_MS), before);
    }

    #[test]
    fn everything_else_changes_it_each_in_its_own_way() {
        let filter = |property: &str, condition| Some(Filter { property: property.into(), condition });
        let listed =
            |values: &[&str]| Condition::In(values.iter().map(|value| (*value).to_owned()).collect());
        let regex = |text: &str| Condition::Matches(regex::Regex::new(text).unwrap());
        let changes: Vec<Change> = vec![
            Box::new(|_| {}),
            Box::new(|funnel| funnel.site = "blog".into()),
            Box::new(|funnel| funnel.id = "buying".into()),
            Box::new(|funnel| funnel.conversion_window.ms += 60_000),
            Box::new(|funnel| funnel.rolling_windows[0].ms += 60_000),
            Box::new(|funnel| funnel.rolling_windows[0].label = "1d".into()),
            Box::new(|funnel| funnel.rolling_windows.reverse()),
            Box::new(|funnel| drop(funnel.rolling_windows.pop())),
            Box::new(|funnel| funnel.breakdowns[0].by = "source".into()),
            Box::new(|funnel| funnel.breakdowns[1].values.reverse()),
            Box::new(|funnel| drop(funnel.breakdowns[1].values.pop())),
            Box::new(|funnel| drop(funnel.breakdowns.pop())),
            Box::new(|funnel| funnel.steps[0].id = "look".into()),
            Box::new(|funnel| funnel.steps[0].events = vec!["product_viewquick_view".into()]),
            Box::new(|funnel| funnel.steps[0].events = vec!["product_view".into(), "quick".into()]),
            Box::new(|funnel| funnel.steps[0].offer = None),
            Box::new(|funnel| funnel.steps[0].offer = Some("other_card".into())),
            Box::new(|funnel| funnel.steps[0].filter = None),
            Box::new(move |funnel| funnel.steps[0].filter = filter("kind", listed(&["pro", "team"]))),
            Box::new(move |funnel| funnel.steps[0].filter = filter("plan", listed(&["pro"]))),
            Box::new(move |funnel| funnel.steps[0].filter = filter("plan", Condition::Exists(true))),
            Box::new(move |funnel| funnel.steps[0].filter = filter("plan", regex("pro"))),
            Box::new(move |funnel| {
                funnel.steps[1].filter = filter("value", Condition::Range { min: None, max: Some(1.0) });
            }),
            Box::new(move |funnel| {
                funnel.steps[1].filter = filter("value", Condition::Range { min: Some(2.0), max: None });
            }),
            Box::new(move |funnel| funnel.steps[2].filter = filter("path", regex("^/paid"))),
            Box::new(move |funnel| funnel.steps[3].filter = filter("order", Condition::Exists(false))),
            Box::new(|funnel| funnel.steps.swap(2, 3)),
            Box::new(|funnel| drop(funnel.steps.pop())),
            Box::new(|funnel| funnel.identity = Identity::Links),
        ];
        let mut hashes: Vec<u64> = changes
            .iter()
            .map(|change| {
                let mut funnel = funnel();
                change(&mut funnel);
                funnel.definition_hash(HORIZON_MS)
            })
            .collect();
        hashes.push(funnel().definition_hash(HORIZON_MS + 1));
        let distinct: std::collections::HashSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }
}
