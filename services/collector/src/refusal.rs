//! Why a whole request is refused, and the one place that says what each condition becomes: HTTP status, code, retry.

use actix_web::http::StatusCode;
use event_log::PublishError;

use crate::quota::OverQuota;

/// A request of which nothing is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the body cannot be read as events: {0}")]
    InvalidBody(String),
    #[error("the body cannot be decompressed: {0}")]
    InvalidEncoding(String),
    #[error("the request's {0} is not valid")]
    InvalidRequest(&'static str),
    #[error(
        "no write key: send it as Basic user name, Bearer token, X-Write-Key, ?key= or writeKey in the body"
    )]
    MissingKey,
    #[error(
        "the key belongs to no site of the plan in force: it is none of the `write_keys`, nor a secret key whose SHA-256 is \
         among the `secret_keys_sha256`"
    )]
    UnknownKey,
    #[error("this needs a secret key of the site; a write key is public")]
    SecretKeyRequired,
    #[error("the key belongs to the site \"{key}\", not to \"{asked}\"")]
    WrongSite { key: String, asked: String },
    #[error("the origin {0} is not among the site's origins in the tracking plan")]
    OriginNotAllowed(String),
    #[error("a link leads to `to`, and it has none")]
    NoDestination,
    #[error("the destination is not among the site's redirects in the tracking plan")]
    DestinationNotAllowed,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body is larger than {limit} bytes ({name}): send fewer events at a time")]
    BodyTooLarge { name: &'static str, limit: usize },
    #[error("the body has more than {limit} events ([collector] max_batch_events): send fewer at a time")]
    TooManyEvents { limit: usize },
    #[error("the body names more than {limit} visitors (MAX_FORGOTTEN_AT_ONCE): name fewer at a time")]
    TooManyVisitors { limit: usize },
    #[error("there is nothing at this path")]
    NotFound,
    #[error("no row of this import has arrived; is the id right? Rows of a moment ago may take some seconds")]
    UnknownImport,
    #[error("the plan in force has no funnel {asked:?} of the site; its funnels: {}", funnels.join(", "))]
    UnknownFunnel { asked: String, funnels: Vec<String> },
    #[error("this method is not for this path; it takes {0}")]
    MethodNotAllowed(&'static str),
    #[error("this collector is not connected to a warehouse, which knows the imports")]
    NoWarehouse,
    #[error(
        "the site's quota is used up: {} allows {}, at once a burst of it; send again in {} s",
        .quota.key(), .quota.per_second, .quota.retry_after_s
    )]
    OverQuota {
        quota: OverQuota,
        /// 503 in place of 429, for clients that drop what was answered 429.
        as_busy: bool,
    },
    #[error("too many bytes of requests are being handled ([collector] max_in_flight)")]
    InFlightFull,
    #[error("too many bytes of this site's requests are being handled ([collector] site_share)")]
    SiteShareFull,
    #[error("events cannot be stored at the moment: {0}")]
    LogFull(&'static str),
    #[error("events cannot be stored at the moment")]
    LogFailed,
    #[error("the warehouse does not answer at the moment")]
    WarehouseFailed,
    #[error("the salt of the day is not known at the moment, and events without an id need it")]
    NoSalt,
    #[error("no tracking plan is loaded yet")]
    NoPlan,
    #[error("this collector is shutting down")]
    ShuttingDown,
}

/// What a refusal becomes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    pub status: StatusCode,
    /// In the JSON answer's `code`, and in the docs.
    pub code: &'static str,
    /// Whether sending the same again later can succeed; the answer then carries Retry-After.
    pub retry: bool,
}

impl Refusal {
    /// The table: condition -> (HTTP, code, retry).
    pub fn wire(&self) -> Wire {
        let (status, code) = match self {
            Self::InvalidBody(_) => (StatusCode::BAD_REQUEST, "invalid_body"),
            Self::InvalidEncoding(_) => (StatusCode::BAD_REQUEST, "invalid_encoding"),
            Self::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::NoDestination => (StatusCode::BAD_REQUEST, "no_destination"),
            Self::MissingKey => (StatusCode::UNAUTHORIZED, "missing_key"),
            Self::UnknownKey => (StatusCode::UNAUTHORIZED, "unknown_key"),
            Self::SecretKeyRequired => (StatusCode::FORBIDDEN, "secret_key_required"),
            Self::WrongSite { .. } => (StatusCode::FORBIDDEN, "wrong_site"),
            Self::OriginNotAllowed(_) => (StatusCode::FORBIDDEN, "origin_not_allowed"),
            Self::DestinationNotAllowed => (StatusCode::FORBIDDEN, "destination_not_allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::UnknownImport => (StatusCode::NOT_FOUND, "unknown_import"),
            Self::UnknownFunnel { .. } => (StatusCode::NOT_FOUND, "unknown_funnel"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::TooManyEvents { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_events"),
            Self::TooManyVisitors { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_visitors"),
            Self::OverQuota { as_busy: false, .. } => (StatusCode::TOO_MANY_REQUESTS, "over_quota"),
            Self::OverQuota { as_busy: true, .. } => (StatusCode::SERVICE_UNAVAILABLE, "over_quota"),
            Self::NoWarehouse => (StatusCode::NOT_IMPLEMENTED, "no_warehouse"),
            Self::InFlightFull => (StatusCode::SERVICE_UNAVAILABLE, "in_flight_full"),
            Self::SiteShareFull => (StatusCode::SERVICE_UNAVAILABLE, "site_share_full"),
            Self::LogFull(_) => (StatusCode::SERVICE_UNAVAILABLE, "log_full"),
            Self::LogFailed => (StatusCode::SERVICE_UNAVAILABLE, "log_failed"),
            Self::WarehouseFailed => (StatusCode::SERVICE_UNAVAILABLE, "warehouse_failed"),
            Self::NoSalt => (StatusCode::SERVICE_UNAVAILABLE, "no_salt"),
            Self::NoPlan => (StatusCode::SERVICE_UNAVAILABLE, "no_plan"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
        };
        let retry = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        Wire { status, code, retry }
    }

    /// The quota that is used up.
    pub(crate) fn quota(&self) -> Option<&OverQuota> {
        match self {
            Self::OverQuota { quota, .. } => Some(quota),
            _ => None,
        }
    }

    /// One of each, in the docs' order.
    pub fn all() -> Vec<Self> {
        vec![
            Self::InvalidBody(String::new()),
            Self::InvalidEncoding(String::new()),
            Self::InvalidRequest(""),
            Self::NoDestination,
            Self::MissingKey,
            Self::UnknownKey,
            Self::SecretKeyRequired,
            Self::WrongSite { key: String::new(), asked: String::new() },
            Self::OriginNotAllowed(String::new()),
            Self::DestinationNotAllowed,
            Self::NotFound,
            Self::UnknownImport,
            Self::UnknownFunnel { asked: String::new(), funnels: vec![] },
            Self::MethodNotAllowed(""),
            Self::BodyTimeout,
            Self::BodyTooLarge { name: "", limit: 0 },
            Self::TooManyEvents { limit: 0 },
            Self::TooManyVisitors { limit: 0 },
            Self::OverQuota { quota: OverQuota::default(), as_busy: false },
            Self::NoWarehouse,
            Self::InFlightFull,
            Self::SiteShareFull,
            Self::LogFull(""),
            Self::LogFailed,
            Self::WarehouseFailed,
            Self::NoSalt,
            Self::NoPlan,
            Self::ShuttingDown,
        ]
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Full { limit } => Self::LogFull(limit),
            PublishError::Closed => Self::ShuttingDown,
            PublishError::Storage(reason) => {
                tracing::error!(%reason, "the log did not store events");
                Self::LogFailed
            }
        }
    }
}
