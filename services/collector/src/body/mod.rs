//! A request's body: read within limits of size and time, counted against the bytes in flight, then expanded.

mod expand;
mod form;
mod in_flight;
mod stream;
mod zstd_frames;

use std::time::Duration;

use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;

pub(crate) use expand::expand;
pub(crate) use form::decode_base64;
pub(crate) use in_flight::{InFlight, Permit, SiteShare};
pub(crate) use stream::{EXPAND_STEP_BYTES, Expander};

use crate::limits::BODY_TIMEOUT_MS;
use crate::refusal::Refusal;

/// A body that comes in pieces gets so many times the memory of the pieces that are here, if it says that it is so long.
const AHEAD: usize = 4;

/// Reads the body as it was sent. `content_length` is the header's; a larger body than it or than `max_bytes` is refused.
/// Bytes count when they are here: of what is only announced, a handful of connections would fill the budget.
pub(crate) async fn read(
    payload: Payload,
    content_length: Option<usize>,
    max_bytes: usize,
    permit: &mut Permit,
) -> Result<Bytes, Refusal> {
    if content_length.is_some_and(|length| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let body = collect(payload, content_length.unwrap_or_default(), max_bytes, permit);
    match tokio::time::timeout(Duration::from_millis(BODY_TIMEOUT_MS), body).await {
        Ok(body) => body,
        Err(_) => Err(Refusal::BodyTimeout),
    }
}

fn too_large(limit: usize) -> Refusal {
    Refusal::BodyTooLarge { name: "[collector] max_body", limit }
}

/// Joins the chunks; a body of one chunk, as most are, is not copied.
async fn collect(
    mut payload: Payload,
    announced: usize,
    max_bytes: usize,
    permit: &mut Permit,
) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|error| Refusal::InvalidBody(format!("it did not arrive completely: {error}")))?;
        if first.is_empty() && joined.is_empty() {
            first = chunk;
        } else {
            if joined.is_empty() {
                let here = first.len() + chunk.len();
                joined.reserve(announced.min(AHEAD * here).max(here));
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&chunk);
        }
        let length = first.len().max(joined.len());
        if length > max_bytes {
            return Err(too_large(max_bytes));
        }
        permit.cover(first.len().max(joined.capacity()))?;
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

#[cfg(test)]
mod tests {
    use actix_web::FromRequest as _;
    use actix_web::test::TestRequest;
    use prometheus::IntGauge;

    use super::*;

    #[actix_web::test]
    async fn a_body_counts_by_what_is_here_and_not_by_what_it_announces() {
        const ANNOUNCED: usize = 1 << 20;
        let gauge = IntGauge::new("bytes", "bytes").unwrap();
        let budget = InFlight::new(ANNOUNCED, gauge.clone());
        let mut permits: Vec<Permit> = (0..50).map(|_| budget.permit()).collect();
        for permit in &mut permits {
            let chunks = [[b' '; 1_000]; 3].map(|chunk| Ok(Bytes::copy_from_slice(&chunk)));
            let chunks = futures_util::stream::iter(chunks).boxed_local();
            let mut payload = actix_web::dev::Payload::Stream { payload: chunks };
            let request = TestRequest::default().to_http_request();
            let payload = Payload::from_request(&request, &mut payload).await.unwrap();
            let body = read(payload, Some(ANNOUNCED), ANNOUNCED, permit).await.unwrap();
            assert_eq!(body.len(), 3_000);
        }
        assert!(gauge.get() <= 50 * 3_000 * AHEAD as i64, "{}", gauge.get());
        drop(permits);
        assert_eq!(gauge.get(), 0);
    }
}
