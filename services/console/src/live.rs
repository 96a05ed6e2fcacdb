//! `…/live?window=7d[&as_of=MS][&previous=true][&breakdown=channel]`: the numbers now, at a minute's end, or of the window
//! before the one that ends now.

use std::sync::Arc;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use funnel::plan::Funnel;
use runtime::now_ms;
use warehouse::live::{LiveAt, MINUTE_MS};

use crate::answer::Answer;
use crate::api_error::ApiError;
use crate::csv;
use crate::params::{FunnelPath, Params};
use crate::routes::State;
use crate::source::{NumberSource, Wanted};

const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The route's handler.
pub(crate) async fn live(
    state: Data<State>,
    path: Path<FunnelPath>,
    params: Params,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    params.only(&["window", "as_of", "previous", "breakdown", "format"])?;
    let as_csv = csv::is_wanted(&params, &request)?;
    let wanted = wanted(&params, state.funnel(&path)?)?;
    let source = state.source.as_ref();
    let answer = match (params.ms("as_of")?, params.flag("previous")?) {
        (Some(_), true) => {
            return Err(ApiError::bad_parameter("previous", "is counted from now; leave out as_of"));
        }
        (Some(as_of), false) => at(source, &wanted, as_of).await?,
        (None, true) => before(source, &wanted, now_ms()).await?,
        (None, false) => Answer::live(&wanted, &source.live(&wanted).await?),
    };
    Ok(if as_csv { csv::ladder(&answer) } else { HttpResponse::Ok().json(answer) })
}

/// The window that ended when the one of now began. Of longer ago only hours' ends are kept: the hour's before.
async fn before(source: &dyn NumberSource, wanted: &Wanted, now_ms: i64) -> Result<Answer, ApiError> {
    // The window of now ends with the minute that is open.
    let then = (now_ms.div_euclid(MINUTE_MS) + 1) * MINUTE_MS - wanted.window.ms;
    match at(source, wanted, then).await {
        Err(ApiError::OutsideHistory | ApiError::IncompleteHistory) => {
            at(source, wanted, then - then.rem_euclid(HOUR_MS)).await
        }
        found => found,
    }
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
