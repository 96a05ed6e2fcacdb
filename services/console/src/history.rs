//! `…/history?window=24h[&from=MS][&to=MS][&points=N]`: each step's visitors at regular points, by default the last 24
//! hours every ten minutes. A point that lacks a partition is null: a gap, not zeros.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use runtime::now_ms;
use serde::Serialize;
use warehouse::history::{Grid, HistoryPoint, MAX_POINTS};

use crate::api_error::ApiError;
use crate::live::wanted;
use crate::params::{FunnelPath, Params};
use crate::routes::State;
use crate::source::Wanted;

const DAY_MS: i64 = 86_400_000;
const DEFAULT_POINTS: usize = 144;

#[derive(Serialize)]
struct HistoryAnswer<'a> {
    site: &'a str,
    funnel: &'a str,
    window: &'a str,
    from: i64,
    to: i64,
    step_ms: i64,
    steps: Vec<&'a str>,
    points: Vec<PointAnswer>,
}

#[derive(Serialize)]
struct PointAnswer {
    at: i64,
    visitors: Option<Vec<u64>>,
}

/// The route's handler.
pub(crate) async fn history(
    state: Data<State>,
    path: Path<FunnelPath>,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    params.only(&["window", "from", "to", "points"])?;
    let wanted = wanted(&params, state.funnel(&path)?)?;
    let to = params.ms("to")?.unwrap_or_else(now_ms);
    let from = params.ms("from")?.unwrap_or((to - DAY_MS).max(0));
    if from >= to {
        return Err(ApiError::bad_parameter("to", "must be after from"));
    }
    let grid = Grid::between(from, to, points(&params)?);
    let points = state.source.history(&wanted, grid).await?;
    Ok(HttpResponse::Ok().json(answer(&wanted, (from, to), grid, points)))
}

fn answer(
    wanted: &Wanted,
    (from, to): (i64, i64),
    grid: Grid,
    points: Vec<HistoryPoint>,
) -> HistoryAnswer<'_> {
    HistoryAnswer {
        site: &wanted.funnel.site,
        funnel: &wanted.funnel.id,
        window: &wanted.window.label,
        from,
        to,
        step_ms: grid.step_ms(),
        steps: wanted.funnel.steps.iter().map(|step| step.id.as_str()).collect(),
        points: points
            .into_iter()
            .map(|point| PointAnswer { at: point.at_ms, visitors: point.visitors })
            .collect(),
    }
}

fn points(params: &Params) -> Result<usize, ApiError> {
    let Some(text) = params.get("points") else { return Ok(DEFAULT_POINTS) };
    match text.parse::<usize>() {
        Ok(points) if (1..=MAX_POINTS).contains(&points) => Ok(points),
        _ => Err(ApiError::bad_parameter("points", format!("must be a number from 1 to {MAX_POINTS}"))),
    }
}
