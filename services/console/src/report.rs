//! `…/report?from=MS&to=MS`: a funnel computed from raw events, over exactly the events in [from, to). Slower than
//! `live` and without its history: for any span, and for checking `live` against the definition.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use funnel::plan::Funnel;
use funnel::report::Report;
use warehouse::Warehouse;
use warehouse::raw::RawQuery;

use crate::answer::Answer;
use crate::api_error::ApiError;
use crate::params::{FunnelPath, Params};
use crate::routes::State;
use crate::source::{ReportCounts, SourceError, Span};

/// The route's handler.
pub(crate) async fn report(
    state: Data<State>,
    path: Path<FunnelPath>,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    params.only(&["from", "to", "breakdown"])?;
    let funnel = state.funnel(&path)?;
    let span = span(&params)?;
    let breakdown = params.breakdown(&funnel)?;
    let counts = state.source.report(&funnel, span, breakdown.as_deref()).await?;
    Ok(HttpResponse::Ok().json(Answer::report(&funnel, span, &counts)))
}

fn span(params: &Params) -> Result<Span, ApiError> {
    let span = Span { from_ms: params.required_ms("from")?, to_ms: params.required_ms("to")? };
    match span.from_ms < span.to_ms {
        true => Ok(span),
        false => Err(ApiError::bad_parameter("to", "must be after from")),
    }
}

/// Folds the raw events of a span, in bounded memory but for the visitors' journeys.
///
/// # Errors
/// ClickHouse's.
pub async fn counts(
    warehouse: &Warehouse,
    funnel: &Funnel,
    span: Span,
    breakdown: Option<&str>,
) -> Result<ReportCounts, SourceError> {
    let mut report = Report::new(funnel, span.from_ms, span.to_ms);
    let mut events = warehouse.raw_events(&RawQuery {
        site: funnel.site.clone(),
        events: funnel.event_names(),
        from_ms: Some(span.from_ms),
        to_ms: Some(span.to_ms),
        ..RawQuery::default()
    })?;
    while let Some(event) = events.next().await? {
        report.push(&event.incoming());
    }
    let (total, values, truncated) = report.finish(breakdown);
    Ok(ReportCounts { total, values, truncated })
}
