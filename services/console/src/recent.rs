//! `/api/v1/sites/{site}/recent`: the last hundred events that arrived, accepted or rejected, and what became of each: which
//! steps it matches, or why none. Whether it counts there depends on what else its visitor did, which is not looked at.
//! Matching is the funnel crate's, over the plan in force, so it cannot differ from what counts.
//!
//! Names of properties are told, never their values, and no visitor: this is for everybody who may see the numbers.

use std::cmp::Reverse;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use checked_toml::misspelt;
use funnel::Plan;
use funnel::plan::{CompiledSchema, Place, PlaceFinder, Role, STORED_PREFIX};
use serde::Serialize;
use serde_json::{Map, Value};
use warehouse::rejected::RejectedRow;
use warehouse::trace::Traced;

use crate::api_error::ApiError;
use crate::params::Params;
use crate::routes::{State, known_site};
use crate::source::Arriving;

/// Events of one answer.
pub const MAX_RECENT: u32 = 100;
/// Property names of one event, at most.
const MAX_PROPERTIES: usize = 30;

#[derive(Serialize)]
struct RecentAnswer<'a> {
    site: &'a str,
    as_of: Option<i64>,
    events: Vec<Arrived>,
}

/// One event. Times are UTC milliseconds.
#[derive(Debug, PartialEq, Serialize)]
struct Arrived {
    received_at: i64,
    /// When it happened, as it counts; null for a rejected one.
    happened_at: Option<i64>,
    event: String,
    message_id: String,
    accepted: bool,
    /// The code of a rejection.
    reason: Option<String>,
    /// Names, sorted.
    properties: Vec<String>,
    /// The steps that it matches and the offers that it is.
    matches: Vec<Match>,
    /// Why it counts for no step, or not now, as a sentence.
    why: Option<String>,
    /// What it breaks of the site's schema by the plan in force, as sentences.
    violations: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Match {
    funnel: String,
    step: String,
    /// From 1. Beyond the first, it counts for a visitor who took the steps before it.
    position: usize,
    name: String,
    /// `step` or `offer`.
    r#as: &'static str,
}

/// The route's handler.
pub(crate) async fn recent(
    state: Data<State>,
    site: Path<String>,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    params.only(&[])?;
    let plan = state.plan().ok_or(ApiError::NoPlan)?;
    known_site(&plan, &site)?;
    let arriving = state.source.arriving(&site).await?;
    let events = arrived(&plan, &site, &arriving);
    Ok(HttpResponse::Ok().json(RecentAnswer { site: &site, as_of: arriving.as_of_ms, events }))
}

/// What events are told by.
struct Teller<'p> {
    finder: PlaceFinder<'p>,
    /// The names of the plan's steps and offers.
    known: Vec<String>,
    schema: Option<CompiledSchema>,
    horizon_ms: i64,
}

/// Both kinds as one list, newest first.
fn arrived(plan: &Plan, site: &str, arriving: &Arriving) -> Vec<Arrived> {
    let (finder, known) = (plan.place_finder(site), plan.event_names(site));
    let schema = plan.site(site).and_then(|site| site.schema.as_ref()).map(CompiledSchema::new);
    let teller = Teller { finder, known, schema, horizon_ms: arriving.horizon_ms };
    let stored = arriving.stored.iter().map(|row| teller.accepted(row));
    // What was stored although it breaks a rule is listed as stored.
    let refused = arriving.rejected.iter().filter(|row| !row.reason.starts_with(STORED_PREFIX));
    let mut all: Vec<Arrived> = stored.chain(refused.map(rejected)).collect();
    all.sort_by_key(|event| Reverse(event.received_at));
    all.truncate(MAX_RECENT as usize);
    all
}

impl Teller<'_> {
    fn accepted(&self, row: &Traced) -> Arrived {
        let event = &row.event;
        let places = self.finder.places(&event.incoming().fields);
        let matches: Vec<Match> = places.iter().filter_map(matched).collect();
        let why = match matches.is_empty() {
            true => Some(self.why_none(&event.event, &places)),
            false if row.is_late(self.horizon_ms) => {
                Some("It came too late to be counted live; builds from raw events count it.".to_owned())
            }
            false => None,
        };
        Arrived {
            received_at: row.stored.received_at,
            happened_at: Some(event.ts),
            event: event.event.clone(),
            message_id: event.message_id.clone(),
            accepted: true,
            reason: None,
            properties: property_names(&event.properties),
            matches,
            why,
            violations: self.violations(row),
        }
    }

    fn violations(&self, row: &Traced) -> Vec<String> {
        let broken = self.schema.as_ref().map(|schema| schema.check(&row.event.event, &row.event.properties));
        broken.unwrap_or_default().into_iter().map(|violation| violation.message).collect()
    }

    fn why_none(&self, event: &str, places: &[Place<'_>]) -> String {
        if let Some(place) = places.first() {
            let (step, funnel) = (&place.step.id, &place.funnel.id);
            return format!(
                "It has the name of the step {step:?} of {funnel:?}, but not what that step's `where` asks for."
            );
        }
        match misspelt(event, self.known.iter().map(String::as_str)) {
            Some(meant) => format!("No step or offer has this name. Did you mean {meant:?}?"),
            None => "No step or offer has this name.".to_owned(),
        }
    }
}

fn rejected(row: &RejectedRow) -> Arrived {
    let whose = if row.site.is_empty() { " (of no known site)" } else { "" };
    Arrived {
        received_at: row.received_at,
        happened_at: None,
        event: row.event.clone(),
        message_id: row.message_id.clone(),
        accepted: false,
        reason: Some(row.reason.clone()),
        properties: Vec::new(),
        matches: Vec::new(),
        why: Some(format!("{}{whose}", row.message)),
        violations: Vec::new(),
    }
}

fn matched(place: &Place<'_>) -> Option<Match> {
    let r#as = match place.role {
        Role::Step => "step",
        Role::Offer => "offer",
        Role::Filtered => return None,
    };
    let (funnel, step) = (place.funnel.id.clone(), place.step.id.clone());
    Some(Match { funnel, step, position: place.position + 1, name: place.step.name.clone(), r#as })
}

fn property_names(json: &str) -> Vec<String> {
    let properties: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
    let mut names: Vec<String> = properties.into_iter().map(|(name, _)| name).collect();
    names.sort();
    names.truncate(MAX_PROPERTIES);
    names
}

#[cfg(test)]
mod tests {
    use warehouse::raw::RawEvent;
    use warehouse::trace::Stored;

    use super::*;

    const NOW: i64 = 1_715_731_200_000;
    const HORIZON_MS: i64 = 86_400_000;

    fn stored(event: &str, properties: &str, age_ms: i64, at: i64) -> Traced {
        let event = RawEvent {
            visitor_id: "ann".into(),
            message_id: "m".into(),
            event: event.into(),
            ts: at - age_ms,
            own_ts: at - age_ms,
            properties: properties.into(),
            ..RawEvent::default()
        };
        let stored =
            Stored { received_at: at, written_at: 0, log_epoch: 1, offset: 0, import_id: String::new() };
        Traced { site: "shop".into(), event, stored }
    }

    fn told(stored: Vec<Traced>, rejected: Vec<RejectedRow>) -> Vec<Arrived> {
        let plan = include_str!("../../../examples/demo/tracking-plan.toml").replace(
            "event = \"purchase\"",
            "event = \"purchase\"\nwhere = { property = \"paid\", exists = true }",
        );
        let plan = Plan::parse("plan", &plan).unwrap();
        arrived(&plan, "shop", &Arriving { as_of_ms: None, horizon_ms: HORIZON_MS, stored, rejected })
    }

    #[test]
    fn an_event_tells_its_steps_or_why_it_has_none() {
        let events = ["product_view", "cart", "purchase", "prodct_view", "newsletter"];
        let told = told(events.iter().map(|name| stored(name, "{}", 0, NOW)).collect(), vec![]);
        let of = |index: usize| {
            let each = &told[index];
            (
                each.matches
                    .iter()
                    .map(|found| (found.position, found.step.as_str(), found.r#as))
                    .collect::<Vec<_>>(),
                each.why.clone(),
            )
        };
        assert_eq!(of(0), (vec![(1, "view", "step")], None));
        assert_eq!(of(1), (vec![(3, "shipping", "offer")], None));
        assert!(of(2).0.is_empty() && of(2).1.unwrap().contains("`where`"));
        assert!(of(3).1.unwrap().contains("Did you mean \"product_view\"?"));
        assert_eq!(of(4).1.unwrap(), "No step or offer has this name.");
    }

    #[test]
    fn late_events_say_so_and_values_of_properties_are_not_told() {
        let properties = r#"{"plan":"hush","a":{"b":"hush"}}"#;
        let told = told(vec![stored("product_view", properties, HORIZON_MS + 1, NOW)], vec![]);
        assert!(told[0].why.as_ref().unwrap().contains("too late") && told[0].matches.len() == 1);
        assert_eq!(told[0].properties, ["a", "plan"]);
        let text = serde_json::to_string(&told).unwrap();
        assert!(!text.contains("hush") && !text.contains("ann"), "{text}");
    }

    #[test]
    fn an_event_that_breaks_a_lenient_schema_is_stored_and_says_so() {
        let planned = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"k\"]\n[[sites.events]]\nname = \"purchase\"\nrequired = [\"order_id\"]";
        let plan = Plan::parse("plan", planned).unwrap();
        let sample = RejectedRow { reason: "stored_required_missing".into(), ..RejectedRow::default() };
        let stored = vec![stored("purchase", "{}", 0, NOW), stored("purchase", r#"{"order_id":1}"#, 0, NOW)];
        let arriving = Arriving { as_of_ms: None, horizon_ms: HORIZON_MS, stored, rejected: vec![sample] };
        let told = arrived(&plan, "shop", &arriving);
        assert!(told.len() == 2 && told.iter().all(|each| each.accepted), "{told:?}");
        assert_eq!((told[0].violations.len(), told[1].violations.len()), (1, 0));
        assert!(told[0].violations[0].contains("\"order_id\" of \"purchase\" is required"), "{told:?}");
    }

    #[test]
    fn both_kinds_are_one_list_newest_first_and_at_most_a_hundred() {
        let many = (0..100).map(|at| stored("product_view", "{}", 0, NOW + at * 2)).collect();
        let refused = RejectedRow {
            received_at: NOW + 151,
            reason: "invalid_event".into(),
            message: "too long".into(),
            sample: "{\"email\":\"ann@example.org\"}".into(),
            visitor_id: "ann".into(),
            ..RejectedRow::default()
        };
        let told = told(many, vec![refused]);
        assert_eq!(told.len(), 100);
        assert!(told.is_sorted_by(|a, b| a.received_at >= b.received_at));
        let refused = told.iter().find(|each| !each.accepted).unwrap();
        assert_eq!(refused.why.as_deref(), Some("too long (of no known site)"));
        assert!(!serde_json::to_string(&told).unwrap().contains("ann@"));
    }
}
