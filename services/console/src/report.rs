//! `…/report?from=MS&to=MS`: a funnel computed from raw events, over exactly the events in [from, to). Slower than
//! `live` and without its history: for any span, and for checking `live` against the definition. `…/report?day=today`: of
//! a day in the site's time zone, read once in a while for all who look.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use crate::answer::Answer;
use crate::api_error::ApiError;
use crate::csv;
use crate::day::Day;
use crate::params::{FunnelPath, Params};
use crate::routes::State;
use crate::source::{Span, WantedDay};

/// The route's handler.
pub(crate) async fn report(
    state: Data<State>,
    path: Path<FunnelPath>,
    params: Params,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let as_csv = csv::is_wanted(&params, &request)?;
    let funnel = state.funnel(&path)?;
    let breakdown = params.breakdown(&funnel)?;
    let answer = match params.get("day") {
        Some(day) => {
            params.only(&["day", "previous", "breakdown", "format"])?;
            let day = Day::named(day, params.flag("previous")?)
                .ok_or_else(|| ApiError::bad_parameter("day", "must be today or yesterday"))?;
            let zone = state.plan().and_then(|plan| Some(plan.site(&path.site)?.timezone.clone()));
            let wanted = WantedDay { funnel: funnel.clone(), day, zone: zone.unwrap_or_default(), breakdown };
            let (span, counts) = state.source.day(&wanted).await?;
            Answer::report(&funnel, span, &counts)
        }
        None => {
            params.only(&["from", "to", "breakdown", "format"])?;
            let span = span(&params)?;
            Answer::report(&funnel, span, &state.source.report(&funnel, span, breakdown.as_deref()).await?)
        }
    };
    Ok(if as_csv { csv::ladder(&answer) } else { HttpResponse::Ok().json(answer) })
}

fn span(params: &Params) -> Result<Span, ApiError> {
    let span = Span { from_ms: params.required_ms("from")?, to_ms: params.required_ms("to")? };
    match span.from_ms < span.to_ms {
        true => Ok(span),
        false => Err(ApiError::bad_parameter("to", "must be after from")),
    }
}
