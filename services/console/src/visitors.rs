//! `…/visitors?step=k&state=open|dropped&window=7d`: who stands on a step, to follow up on what they did. Asks for a
//! secret key of the site. Those whom `live` counts in `open` of the step or in `drop_off` of the next one, as of the
//! journeys in the table: they are written every `journeys_interval`, so `as_of` here is older than that of `live`
//! while visitors move.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use funnel::plan::Funnel;
use funnel::standing::Standing;
use serde::Serialize;
use warehouse::visitors::{Cursor, MAX_PAGE};

use crate::api_error::ApiError;
use crate::csv::{self, Table};
use crate::live::wanted;
use crate::params::{FunnelPath, Params};
use crate::routes::State;
use crate::secret;
use crate::source::{OnAStep, PageRequest};

const DEFAULT_LIMIT: usize = 100;

#[derive(Serialize)]
struct VisitorsAnswer<'a> {
    site: &'a str,
    funnel: &'a str,
    window: &'a str,
    step: &'a str,
    state: &'a str,
    as_of: Option<i64>,
    visitors: Vec<Visitor>,
    /// Of this page: raw events no longer stored, or forgotten.
    nameless: usize,
    next: Option<String>,
}

/// One visitor. Times are UTC milliseconds.
#[derive(Serialize)]
struct Visitor {
    visitor: String,
    user_id: Option<String>,
    entered_at: i64,
    reached_at: i64,
    last_seen_at: i64,
    can_go_on: bool,
}

/// The route's handler.
pub(crate) async fn visitors(
    state: Data<State>,
    path: Path<FunnelPath>,
    params: Params,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let plan = state.plan().ok_or(ApiError::NoPlan)?;
    secret::required(&plan, &path.site, &request)?;
    params.only(&["step", "state", "window", "limit", "cursor", "format"])?;
    let as_csv = csv::is_wanted(&params, &request)?;
    let wanted = wanted(&params, state.funnel(&path)?)?;
    let (step, standing) = (step(&params, &wanted.funnel)?, standing(&params)?);
    let page = PageRequest { step, standing, after: cursor(&params)?, limit: limit(&params)? };
    let found = state.source.visitors(&wanted, page).await?;
    let OnAStep { as_of_ms, page } = found;
    let answer = VisitorsAnswer {
        site: &wanted.funnel.site,
        funnel: &wanted.funnel.id,
        window: &wanted.window.label,
        step: wanted.funnel.steps.get(step).map_or("", |step| step.id.as_str()),
        state: params.get("state").unwrap_or_default(),
        as_of: as_of_ms,
        visitors: page.visitors.into_iter().map(Visitor::of).collect(),
        nameless: page.nameless,
        next: page.next.map(|Cursor { partition, visitor }| format!("{partition}-{visitor:x}")),
    };
    Ok(if as_csv { as_table(&answer) } else { HttpResponse::Ok().json(answer) })
}

impl Visitor {
    fn of(found: warehouse::visitors::Standing) -> Self {
        Self {
            visitor: found.visitor,
            user_id: Some(found.user_id).filter(|id| !id.is_empty()),
            entered_at: found.spot.entered_at,
            reached_at: found.spot.reached_at,
            last_seen_at: found.last_seen_at,
            can_go_on: found.spot.can_go_on,
        }
    }
}

/// The page as CSV; where the next one begins is in a header.
fn as_table(answer: &VisitorsAnswer<'_>) -> HttpResponse {
    let mut table =
        Table::new(&["visitor", "user_id", "entered_at", "reached_at", "last_seen_at", "can_go_on"]);
    for visitor in &answer.visitors {
        let cells = [
            csv::text(&visitor.visitor),
            csv::text(visitor.user_id.as_deref().unwrap_or_default()),
            csv::time(visitor.entered_at),
            csv::time(visitor.reached_at),
            csv::time(visitor.last_seen_at),
            visitor.can_go_on.to_string(),
        ];
        table.row(cells.into_iter());
    }
    let mut response = table.answer(&format!("{}-{}-{}.csv", answer.funnel, answer.step, answer.state));
    if let Some(next) = answer.next.as_deref().and_then(|next| next.parse().ok()) {
        response
            .headers_mut()
            .insert(actix_web::http::header::HeaderName::from_static("x-next-cursor"), next);
    }
    response
}

/// A step by its id, or by its number from 1.
fn step(params: &Params, funnel: &Funnel) -> Result<usize, ApiError> {
    let asked = params.get("step").unwrap_or_default();
    let by_id = funnel.steps.iter().position(|step| step.id == asked);
    let found = by_id.or_else(|| asked.parse::<usize>().ok()?.checked_sub(1));
    found.filter(|step| step + 1 < funnel.steps.len()).ok_or_else(|| {
        let steps: Vec<&str> = funnel.steps.iter().map(|step| step.id.as_str()).collect();
        let before_last = steps.split_last().map_or(&[][..], |(_, before)| before).join(", ");
        ApiError::bad_parameter(
            "step",
            format!("must be one of {before_last}, or its number from 1; nobody goes on from the last one"),
        )
    })
}

fn standing(params: &Params) -> Result<Standing, ApiError> {
    match params.get("state") {
        Some("open") => Ok(Standing::Open),
        Some("dropped") => Ok(Standing::Dropped),
        _ => Err(ApiError::bad_parameter(
            "state",
            "must be open (they can still go on) or dropped (they have not taken the next step)",
        )),
    }
}

fn limit(params: &Params) -> Result<usize, ApiError> {
    let Some(text) = params.get("limit") else { return Ok(DEFAULT_LIMIT) };
    match text.parse::<usize>() {
        Ok(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
        _ => Err(ApiError::bad_parameter("limit", format!("must be a number from 1 to {MAX_PAGE}"))),
    }
}

fn cursor(params: &Params) -> Result<Option<Cursor>, ApiError> {
    let Some(text) = params.get("cursor") else { return Ok(None) };
    let parsed = text.split_once('-').and_then(|(partition, visitor)| {
        let (partition, visitor) = (partition.parse().ok()?, u128::from_str_radix(visitor, 16).ok()?);
        Some(Cursor { partition, visitor })
    });
    parsed.map(Some).ok_or_else(|| ApiError::bad_parameter("cursor", "must be the `next` of the page before"))
}
