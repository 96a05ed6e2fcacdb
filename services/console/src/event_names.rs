//! `/api/v1/sites/{site}/events`: the names of the last day's events, whether a step or an offer of the site's funnels has
//! them, and the names of their properties. An event with a misspelt name is stored and counted nowhere; this is where
//! people see it.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use checked_toml::misspelt;
use funnel::Plan;
use runtime::now_ms;
use serde::Serialize;
use warehouse::arriving::PropertyName;
use warehouse::event_names::EventName;

use crate::api_error::ApiError;
use crate::params::Params;
use crate::routes::{State, known_site};

const DAY_MS: i64 = 86_400_000;

#[derive(Serialize)]
struct EventsAnswer<'a> {
    site: &'a str,
    from: i64,
    to: i64,
    events: Vec<NamedEvents>,
}

/// The events of one name.
#[derive(Debug, PartialEq, Serialize)]
struct NamedEvents {
    event: String,
    count: u64,
    /// Whether a step or an offer of the site's funnels has this name.
    in_plan: bool,
    /// The name of the plan that it is probably a slip of.
    did_you_mean: Option<String>,
    /// The most frequent first.
    properties: Vec<Property>,
}

/// A property, and how many of the newest events of the name have it.
#[derive(Debug, PartialEq, Serialize)]
struct Property {
    name: String,
    count: u64,
}

/// The route's handler.
pub(crate) async fn events(
    state: Data<State>,
    site: Path<String>,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    params.only(&[])?;
    let plan = state.plan().ok_or(ApiError::NoPlan)?;
    known_site(&plan, &site)?;
    let to = now_ms();
    let from = to - DAY_MS;
    let names = state.source.event_names(&site, from).await?;
    let events = named(&plan, &site, names, state.source.property_names(&site, from).await?);
    Ok(HttpResponse::Ok().json(EventsAnswer { site: &site, from, to, events }))
}

fn named(plan: &Plan, site: &str, found: Vec<EventName>, properties: Vec<PropertyName>) -> Vec<NamedEvents> {
    let mut by_event: HashMap<String, Vec<Property>> = HashMap::new();
    for PropertyName { event, property, count } in properties {
        by_event.entry(event).or_default().push(Property { name: property, count });
    }
    let known = plan.event_names(site);
    let mut judge = |EventName { event, count }| {
        let in_plan = known.binary_search(&event).is_ok();
        let near = if in_plan { None } else { misspelt(&event, known.iter().map(String::as_str)) };
        let properties = by_event.remove(&event).unwrap_or_default();
        NamedEvents { did_you_mean: near.map(str::to_owned), in_plan, properties, event, count }
    };
    found.into_iter().map(&mut judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_the_plan_or_near_to_one_or_neither() {
        let plan = Plan::parse("plan", include_str!("../../../examples/demo/tracking-plan.toml")).unwrap();
        let found = ["product_view", "prodct_view", "newsletter"];
        let found = found.map(|event| EventName { event: event.to_owned(), count: 3 });
        let property = PropertyName { event: "newsletter".into(), property: "topic".into(), count: 2 };
        let named = named(&plan, "shop", found.to_vec(), vec![property]);
        assert_eq!(named[2].properties, [Property { name: "topic".into(), count: 2 }]);
        let told: Vec<_> = named.iter().map(|each| (each.in_plan, each.did_you_mean.as_deref())).collect();
        assert_eq!(told, [(true, None), (false, Some("product_view")), (false, None)]);
    }
}
