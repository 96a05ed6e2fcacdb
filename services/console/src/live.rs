//! `…/live?window=7d[&as_of=MS][&breakdown=channel]`: the numbers now, or at a minute's end.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use funnel::plan::Funnel;
use warehouse::live::{LiveAt, MINUTE_MS};

use crate::answer::Answer;
use crate::api_error::ApiError;
use crate::params::{FunnelPath, Params};
use crate::routes::State;
use crate::source::{NumberSource, Wanted};

/// The route's handler.
pub(crate) async fn live(
    state: Data<State>,
    path: Path<FunnelPath>,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    params.only(&["window", "as_of", "breakdown"])?;
    let wanted = wanted(&params, state.funnel(&path)?)?;
    let answer = match params.ms("as_of")? {
        Some(as_of) => at(state.source.as_ref(), &wanted, as_of).await?,
        None => Answer::live(&wanted, &state.source.live(&wanted).await?),
    };
    Ok(HttpResponse::Ok().json(answer))
}

/// Reads window and breakdown against the funnel.
pub(crate) fn wanted(params: &Params, funnel: Arc<Funnel>) -> Result<Wanted, ApiError> {
    Ok(Wanted { window: params.window(&funnel)?, breakdown: params.breakdown(&funnel)?, funnel })
}

async fn at(source: &dyn NumberSource, wanted: &Wanted, as_of: i64) -> Result<Answer, ApiError> {
    if as_of % MINUTE_MS != 0 {
        let before = as_of - as_of % MINUTE_MS;
        return Err(ApiError::bad_parameter(
            "as_of",
            format!("must be a whole minute in UTC milliseconds; the one before is {before}"),
        ));
    }
    match source.live_at(wanted, as_of).await? {
        LiveAt::Complete(numbers) => Ok(Answer::at_minute_end(wanted, &numbers, as_of)),
        LiveAt::Incomplete => Err(ApiError::IncompleteHistory),
        LiveAt::Outside => Err(ApiError::OutsideHistory),
    }
}
