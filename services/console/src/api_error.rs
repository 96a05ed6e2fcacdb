//! Every way in which the API refuses, and the one table from that to status, code and text. Documented in
//! `docs/console-api.md` and in the OpenAPI description.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};

use crate::source::SourceError;

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{parameter} {problem}")]
    BadParameter { parameter: String, problem: String },
    #[error("there is no window {asked:?}; this funnel has {}", windows.join(", "))]
    UnknownWindow { asked: String, windows: Vec<String> },
    #[error("there is no breakdown {asked:?}; this funnel has {}", listed(breakdowns))]
    UnknownBreakdown { asked: String, breakdowns: Vec<String> },
    #[error("the plan has no site {site:?}; it has {}", listed(sites))]
    UnknownSite { site: String, sites: Vec<String> },
    #[error("the site {site:?} has no funnel {funnel:?}; it has {}", listed(funnels))]
    UnknownFunnel { site: String, funnel: String, funnels: Vec<String> },
    #[error("the site {site:?} has no note {id:?}")]
    UnknownNote { site: String, id: String },
    #[error("no plan is in force yet: apply one with `rungs plan apply FILE`")]
    NoPlan,
    #[error(
        "there are no numbers for that minute: it is not over, or older than the history. Every minute end is kept for \
         days and every hour end for longer ([aggregator] minute_history, hour_history)"
    )]
    OutsideHistory,
    #[error("not every partition has numbers for that minute yet; ask again later")]
    IncompleteHistory,
    #[error("this console wants a token: send it as `Authorization: Bearer …` or `?token=…`")]
    TokenNeeded,
    #[error("that token is wrong")]
    WrongToken,
    #[error(
        "this needs a secret key of the site: send it as `X-Secret-Key: …` or as the user name of Basic authorization"
    )]
    SecretKeyNeeded,
    #[error("that is no secret key of the site")]
    WrongSecretKey,
    #[error("a page of another site may not write here")]
    ForeignOrigin,
    #[error("this console answers this machine only; set [console] token to let others in")]
    LoopbackOnly,
    #[error(
        "requests without a token must name this machine in their Host header, e.g. localhost; this one names {host:?}"
    )]
    ForeignHost { host: String },
    #[error("{limit} streams are open, which is the limit; close one or ask again later")]
    TooManyStreams { limit: usize },
    #[error("{limit} reports are being made, which is the limit; ask again later")]
    TooManyReports { limit: usize },
    #[error("more than {limit} visitors take part ([console] max_report_visitors); ask for a shorter span")]
    TooManyVisitors { limit: usize },
    #[error("no such path; the API is described at /api/v1/openapi.json")]
    NotFound,
    #[error("ClickHouse did not give the numbers: {reason}")]
    ClickHouse { reason: String, passing: bool },
}

/// (status, code) of each refusal; the codes are a contract.
impl ApiError {
    fn table(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadParameter { .. } => (StatusCode::BAD_REQUEST, "bad_parameter"),
            Self::UnknownWindow { .. } => (StatusCode::BAD_REQUEST, "unknown_window"),
            Self::UnknownBreakdown { .. } => (StatusCode::BAD_REQUEST, "unknown_breakdown"),
            Self::TokenNeeded => (StatusCode::UNAUTHORIZED, "token_needed"),
            Self::WrongToken => (StatusCode::UNAUTHORIZED, "wrong_token"),
            Self::SecretKeyNeeded => (StatusCode::UNAUTHORIZED, "secret_key_needed"),
            Self::WrongSecretKey => (StatusCode::UNAUTHORIZED, "wrong_secret_key"),
            Self::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign_origin"),
            Self::LoopbackOnly => (StatusCode::FORBIDDEN, "loopback_only"),
            Self::ForeignHost { .. } => (StatusCode::FORBIDDEN, "foreign_host"),
            Self::UnknownSite { .. } => (StatusCode::NOT_FOUND, "unknown_site"),
            Self::UnknownFunnel { .. } => (StatusCode::NOT_FOUND, "unknown_funnel"),
            Self::UnknownNote { .. } => (StatusCode::NOT_FOUND, "unknown_note"),
            Self::OutsideHistory => (StatusCode::NOT_FOUND, "outside_history"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::IncompleteHistory => (StatusCode::CONFLICT, "incomplete_history"),
            Self::ClickHouse { passing: false, .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "clickhouse_failed")
            }
            Self::ClickHouse { passing: true, .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "clickhouse_unavailable")
            }
            Self::NoPlan => (StatusCode::SERVICE_UNAVAILABLE, "no_plan"),
            Self::TooManyStreams { .. } => (StatusCode::SERVICE_UNAVAILABLE, "too_many_streams"),
            Self::TooManyReports { .. } => (StatusCode::SERVICE_UNAVAILABLE, "too_many_reports"),
            Self::TooManyVisitors { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "too_many_visitors"),
        }
    }

    pub(crate) fn bad_parameter(parameter: &str, problem: impl Into<String>) -> Self {
        Self::BadParameter { parameter: parameter.to_owned(), problem: problem.into() }
    }

    /// The code, as in the answer.
    pub fn code(&self) -> &'static str {
        self.table().1
    }

    /// `{"code", "message", "detail"}`; `detail` holds what a program needs to correct itself.
    pub fn body(&self) -> Value {
        let detail = match self {
            Self::BadParameter { parameter, .. } => json!({ "parameter": parameter }),
            Self::UnknownWindow { windows, .. } => json!({ "parameter": "window", "windows": windows }),
            Self::UnknownBreakdown { breakdowns, .. } => {
                json!({ "parameter": "breakdown", "breakdowns": breakdowns })
            }
            Self::UnknownNote { .. } => json!({ "parameter": "id" }),
            Self::UnknownSite { sites, .. } => json!({ "parameter": "site", "sites": sites }),
            Self::UnknownFunnel { funnels, .. } => json!({ "parameter": "funnel", "funnels": funnels }),
            _ => Value::Null,
        };
        json!({ "code": self.code(), "message": self.to_string(), "detail": detail })
    }
}

impl ApiError {
    /// The answer, with the name of the request where there is one.
    pub(crate) fn answer(&self, request_id: Option<&str>) -> HttpResponse {
        let (mut response, mut body) = (HttpResponse::build(self.status_code()), self.body());
        match self.status_code() {
            StatusCode::SERVICE_UNAVAILABLE => response.insert_header(("Retry-After", "2")),
            StatusCode::UNAUTHORIZED => response.insert_header(("WWW-Authenticate", "Bearer")),
            _ => &mut response,
        };
        if let (Some(id), Some(body)) = (request_id, body.as_object_mut()) {
            body.insert("request_id".to_owned(), id.into());
        }
        response.json(body)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.table().0
    }

    fn error_response(&self) -> HttpResponse {
        self.answer(None)
    }
}

impl From<SourceError> for ApiError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Warehouse(error) => {
                tracing::warn!(%error, "numbers could not be read");
                Self::ClickHouse { passing: error.is_retryable(), reason: error.to_string() }
            }
            SourceError::TooManyReports { limit } => Self::TooManyReports { limit },
            SourceError::TooManyVisitors { limit } => Self::TooManyVisitors { limit },
        }
    }
}

fn listed(names: &[String]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
