//! What the program must answer, from the events that it stored: the definition of every number (`funnel::model`), put
//! into the console's form. Shares the matching of events with the program, not the counting.

use funnel::Plan;
use funnel::fold::{Fold, FoldEvent, Spec};
use funnel::intake::{Incoming, matched, message_hash, visitor_hash};
use funnel::ladder::{Audience, Ladder};
use funnel::model;
use funnel::plan::{CompiledFunnel, Derived, EventFields, Funnel};
use funnel::values::Values;
use funnel::windows::MINUTE_MS;
use rungs_proto::view::EventView;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Program;

/// A raw event, as stored.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Stored {
    pub(crate) visitor_id: String,
    pub(crate) message_id: String,
    pub(crate) event: String,
    pub(crate) ts: i64,
    pub(crate) own_ts: i64,
    properties: String,
    context: String,
    channel: String,
}

const STORED_SQL: &str = "SELECT visitor_id, message_id, event, toUnixTimestamp64Milli(ts) AS ts, \
    toUnixTimestamp64Milli(own_ts) AS own_ts, properties, context, channel FROM events FINAL ORDER BY events.ts";

/// A funnel and the events that match it.
pub(crate) struct Expected {
    funnel: Funnel,
    spec: Spec,
    events: Vec<FoldEvent>,
    /// (breakdown, value) by value id.
    values: Vec<(usize, String)>,
}

impl Program {
    /// Every distinct event, in time order.
    pub(crate) fn stored(&self) -> Vec<Stored> {
        let row = |row| serde_json::from_value(row).unwrap();
        self.rows(STORED_SQL).into_iter().map(row).collect()
    }

    /// Waits until every window of a funnel, split by its first breakdown, answers what the definition gives over the
    /// stored events.
    pub(crate) fn until_live_equals(&self, expected: &Expected) {
        let name = format!("{}/{}", expected.funnel.site, expected.funnel.id);
        let breakdown = expected.funnel.breakdowns.first().map_or("", |breakdown| breakdown.by.as_str());
        for (index, window) in expected.funnel.rolling_windows.iter().enumerate() {
            let difference = std::cell::RefCell::new(String::new());
            self.until_or(
                || format!("{name} {} differs: {}", window.label, difference.borrow()),
                |program| {
                    let live = program.live(&name, &window.label, breakdown);
                    let Some(from) = live["from"].as_i64().filter(|_| live["state"] == "ready") else {
                        difference.replace(live.to_string());
                        return false;
                    };
                    let model = expected.answer(index, from + window.ms);
                    let found =
                        json!({"rates": live["rates"], "steps": live["steps"], "breakdown": live["breakdown"]});
                    difference.replace(differences("", &found, &model).join("\n"));
                    found == model
                },
            );
        }
    }
}

impl Expected {
    /// Of a funnel of a plan.
    pub(crate) fn new(plan: &str, site: &str, funnel: &str, stored: &[Stored]) -> Self {
        let plan = Plan::parse("plan.toml", plan).unwrap();
        let funnel = plan.funnel(site, funnel).unwrap().clone();
        let spec = Spec::new(&funnel, i64::MAX / 4, usize::MAX);
        let compiled = CompiledFunnel::new(&funnel);
        // Only gives value ids.
        let mut ids = Fold::new(spec.clone(), Values::new(&funnel.breakdowns), 0);
        let events = stored.iter().filter_map(|event| matched(&compiled, &mut ids, &event.incoming()));
        let events = events.collect();
        let values = (1..=ids.values().len() as u16)
            .map(|id| ids.values().get(id).map(|(by, value)| (by, value.to_owned())).unwrap())
            .collect();
        Self { funnel, spec, events, values }
    }

    /// Rates, steps and first breakdown of a window that ends at a minute's end.
    pub(crate) fn answer(&self, window: usize, end_ms: i64) -> Value {
        assert_eq!(end_ms % MINUTE_MS, 0);
        let counts = model::counts(&self.spec, &self.events, end_ms);
        let ladder = |value: u16, audience| Ladder::new(&self.funnel, &counts[&value], window, audience);
        let mut parts = Vec::new();
        for value in counts.keys().filter(|value| **value != 0) {
            let (by, name) = &self.values[usize::from(*value) - 1];
            if *by == 0 {
                parts.push((name.clone(), ladder(*value, Audience::Value).steps));
            }
        }
        parts.sort_by(|(a, x), (b, y)| y[0].visitors.cmp(&x[0].visitors).then_with(|| a.cmp(b)));
        let parts: Vec<Value> =
            parts.into_iter().map(|(value, steps)| json!({"value": value, "steps": steps})).collect();
        let Ladder { rates, steps } = ladder(0, Audience::Everybody);
        let answer = json!({"rates": rates, "steps": steps, "breakdown": parts});
        // Written and read again, because reading a fraction is exact only up to its last digit.
        serde_json::from_str(&answer.to_string()).unwrap()
    }

    /// The visitors of each step.
    pub(crate) fn visitors(&self, window: usize, end_ms: i64) -> Vec<u64> {
        super::answers::visitors(&self.answer(window, end_ms))
    }
}

impl Stored {
    /// An event of the log, as it is stored: never later than its partition's clock there.
    pub(crate) fn of(event: &EventView<'_>, clock_ms: i64) -> Self {
        Self {
            visitor_id: event.visitor_id.to_owned(),
            message_id: event.message_id.to_owned(),
            event: event.event.to_owned(),
            ts: event.ts_ms.min(clock_ms),
            own_ts: event.own_ts_ms,
            properties: event.properties.to_owned(),
            context: event.context.to_owned(),
            channel: event.channel.to_owned(),
        }
    }
}

/// Where two answers differ: path, the program's value, the definition's.
pub(crate) fn differences(path: &str, live: &Value, model: &Value) -> Vec<String> {
    let below =
        |name: String, live: &Value, model: &Value| differences(&format!("{path}/{name}"), live, model);
    match (live, model) {
        (Value::Object(l), Value::Object(m)) if l.keys().eq(m.keys()) => {
            l.iter().flat_map(|(name, value)| below(name.clone(), value, &m[name])).collect()
        }
        (Value::Array(l), Value::Array(m)) if l.len() == m.len() => {
            l.iter().zip(m).enumerate().flat_map(|(at, (l, m))| below(at.to_string(), l, m)).collect()
        }
        _ if live == model => Vec::new(),
        _ => vec![format!("{path}: live {live}, model {model}")],
    }
}

impl Stored {
    fn incoming(&self) -> Incoming<'_> {
        let derived = Derived { channel: &self.channel, ..Derived::default() };
        Incoming {
            fields: EventFields {
                event: &self.event,
                properties: &self.properties,
                context: &self.context,
                derived,
            },
            visitor: visitor_hash(&self.visitor_id),
            user_id: "",
            message: message_hash(&self.message_id),
            ts: self.ts,
            own_ts: self.own_ts,
        }
    }
}
