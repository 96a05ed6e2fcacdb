//! What browsers need: which origins may send, and headers that let pages read every answer, errors too (without them
//! an SDK takes a final 400 for a network error and sends again).
//!
//! A preflight carries no key, so it cannot know the site and allows everything; the request itself is judged.

use actix_web::HttpResponseBuilder;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderValue, VARY,
};
use funnel::plan::Origins;

use crate::limits::PREFLIGHT_MAX_AGE_S;
use crate::refusal::Refusal;

/// Refuses a browser's request from an origin that the site does not list.
pub(crate) fn check(origin: Option<&HeaderValue>, allowed: &Origins) -> Result<(), Refusal> {
    let (Some(origin), Origins::Only(list)) = (origin, allowed) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    if list.iter().any(|known| known.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    Err(Refusal::OriginNotAllowed(origin.chars().take(200).collect()))
}

/// The headers of every answer. The origin is named with credentials allowed, because beacons send cookies along; no
/// cookie is ever read.
pub(crate) fn allow(answer: &mut HttpResponseBuilder, origin: Option<&HeaderValue>) {
    match origin {
        Some(origin) => answer
            .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()))
            .insert_header((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")))
            .insert_header((VARY, HeaderValue::from_static("Origin"))),
        None => answer.insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))),
    };
    answer.insert_header((
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Retry-After, X-Request-Id"),
    ));
}

/// What a preflight asks for.
pub(crate) fn preflight(answer: &mut HttpResponseBuilder) {
    const HEADERS: &str = "authorization, content-type, content-encoding, x-write-key, x-retry-count, x-request-id, \
        openpanel-client-id, openpanel-client-secret, openpanel-sdk-name, openpanel-sdk-version, posthog-sdk-info, \
        posthog-attempt, posthog-request-id, posthog-request-timestamp, sp-anonymous, x-umami-cache";
    answer
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS")))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS)))
        .insert_header((ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE_S));
}
