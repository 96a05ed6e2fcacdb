//! `/api/v1/sites` and `/api/v1/funnels`: what the plan in force defines. Both lists are empty before the first plan.

use actix_web::HttpResponse;
use actix_web::web::Data;
use funnel::plan::{Funnel, Site, Step};
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::params::{Params, default_window};
use crate::routes::{State, known_site};

/// The sites. Write keys are public: they sit in pages.
pub(crate) async fn sites(state: Data<State>, params: Params) -> Result<HttpResponse, ApiError> {
    params.only(&[])?;
    let plan = state.plan().unwrap_or_default();
    let sites: Vec<Value> = plan.sites.iter().map(site).collect();
    Ok(HttpResponse::Ok().json(json!({ "sites": sites })))
}

/// The funnels, with all that a page or program can ask of them.
pub(crate) async fn funnels(state: Data<State>, params: Params) -> Result<HttpResponse, ApiError> {
    params.only(&["site"])?;
    let plan = state.plan().unwrap_or_default();
    let asked = params.get("site");
    if let Some(site) = asked {
        known_site(&plan, site)?;
    }
    let wanted = plan.funnels.iter().filter(|funnel| asked.is_none_or(|site| site == funnel.site));
    let funnels: Vec<Value> = wanted.map(funnel).collect();
    Ok(HttpResponse::Ok().json(json!({ "funnels": funnels })))
}

fn site(site: &Site) -> Value {
    json!({ "id": site.id, "timezone": site.timezone, "write_keys": site.write_keys })
}

fn funnel(funnel: &Funnel) -> Value {
    let windows: Vec<_> = funnel.rolling_windows.iter().map(|window| &window.label).collect();
    let breakdowns: Vec<_> = funnel.breakdowns.iter().map(|breakdown| &breakdown.by).collect();
    json!({
        "site": funnel.site,
        "id": funnel.id,
        "name": funnel.name,
        "conversion_window": funnel.conversion_window.label,
        "rolling_windows": windows,
        "default_window": default_window(funnel).map(|window| &window.label),
        "breakdowns": breakdowns,
        "steps": funnel.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> Value {
    json!({
        "id": step.id,
        "name": step.name,
        "commitment": step.commitment.as_str(),
        "events": step.events,
        "offer": step.offer,
    })
}
