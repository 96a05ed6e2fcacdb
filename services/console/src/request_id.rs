//! A name of each request: in its answer's header, in every refusal's body and in the log, so that what somebody saw can be
//! found. A proxy in front may give it.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::api_error::ApiError;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of one that is taken over, at most.
const MAX_LENGTH: usize = 64;

/// A request's name.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's or proxy's X-Request-Id if it is a plain one, else a random one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let is_plain = |id: &&HeaderValue| {
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
            (1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(plain)
        };
        let random = || {
            let digits = format!("{:016x}", rand::random::<u64>());
            HeaderValue::from_str(&digits).unwrap_or(HeaderValue::from_static("0"))
        };
        Self(headers.get(HEADER).filter(is_plain).cloned().unwrap_or_else(random))
    }

    /// Puts it on an answer; a refusal is told again with it, and to the log.
    pub(crate) fn name(&self, answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let refused = answer.response().error().and_then(|error| error.as_error::<ApiError>());
        let mut answer = match refused.map(|refusal| self.tell(refusal)) {
            Some(told) => answer.into_response(told),
            None => answer,
        };
        answer.headers_mut().insert(HEADER, self.0.clone());
        answer
    }

    fn tell(&self, refusal: &ApiError) -> actix_web::HttpResponse {
        let request_id = self.0.to_str().unwrap_or_default();
        let answer = refusal.answer(Some(request_id));
        match answer.status() {
            StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(request_id, code = refusal.code(), %refusal, "request failed")
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                tracing::warn!(request_id, code = refusal.code(), %refusal, "request failed for now")
            }
            _ => tracing::debug!(request_id, code = refusal.code(), %refusal, "request refused"),
        }
        answer
    }
}
