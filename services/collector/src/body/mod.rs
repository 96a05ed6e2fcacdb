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

/// Reads the body as it was sent. `content_length` is the header's; a larger body than it or than `max_bytes` is refused.
pub(crate) async fn read(
    payload: Payload,
    content_length: Option<usize>,
    max_bytes: usize,
    permit: &mut Permit,
) -> Result<Bytes, Refusal> {
    if content_length.is_some_and(|length| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    permit.grow(content_length.unwrap_or_default())?;
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
                joined.reserve(announced.max(first.len() + chunk.len()));
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&chunk);
        }
        let length = first.len().max(joined.len());
        if length > max_bytes {
            return Err(too_large(max_bytes));
        }
        permit.cover(length)?;
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}
