//! Undoes Content-Encoding (gzip, deflate, br, zstd, also several), then looks for gzip's first bytes, because some
//! clients compress and do not say so, and for a form with one field of data. Expansion stops at the limit: a bomb costs
//! no more memory than that.

use std::io::Read;

use actix_web::web::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::form;
use crate::refusal::Refusal;

/// Encodings on top of each other, at most.
const MAX_ENCODINGS: usize = 3;
/// Windows of zstd up to 2^23 bytes, as RFC 8878 recommends to decoders; the format's own limit would allow gigabytes.
pub(super) const MAX_ZSTD_WINDOW_LOG: u32 = 23;
/// Why a body with more than its stream is refused.
pub(super) const BEHIND_THE_END: &str = "there are bytes behind the end of the compressed data";
pub(super) const GZIP: &[u8] = &[0x1f, 0x8b];

/// The body as the client meant it. `encodings` is the header Content-Encoding.
pub(crate) fn expand(body: Bytes, encodings: &str, max_bytes: usize) -> Result<Bytes, Refusal> {
    let named: Vec<_> = encodings.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if named.len() > MAX_ENCODINGS {
        return Err(Refusal::InvalidEncoding(format!("more than {MAX_ENCODINGS} encodings")));
    }
    let mut body = body;
    for name in named.iter().rev() {
        body = decode(body, &name.to_ascii_lowercase(), max_bytes)?;
    }
    body = unzipped(body, max_bytes)?;
    match form::data(&body) {
        Some(data) => unzipped(Bytes::from(data), max_bytes),
        None => Ok(body),
    }
}

fn unzipped(body: Bytes, max_bytes: usize) -> Result<Bytes, Refusal> {
    if body.starts_with(GZIP) { decode(body, "gzip", max_bytes) } else { Ok(body) }
}

fn decode(body: Bytes, encoding: &str, max_bytes: usize) -> Result<Bytes, Refusal> {
    let bytes = body.as_ref();
    match encoding {
        "identity" => return Ok(body),
        "gzip" | "x-gzip" => drain(MultiGzDecoder::new(bytes), bytes.len(), max_bytes),
        "deflate" if is_zlib(bytes) => {
            let mut reader = ZlibDecoder::new(bytes);
            drain(&mut reader, bytes.len(), max_bytes).and_then(|out| at_its_end(reader.into_inner(), out))
        }
        "deflate" => {
            let mut reader = DeflateDecoder::new(bytes);
            drain(&mut reader, bytes.len(), max_bytes).and_then(|out| at_its_end(reader.into_inner(), out))
        }
        "br" => drain(brotli_decompressor::Decompressor::new(bytes, 4096), bytes.len(), max_bytes),
        "zstd" => drain(zstd_reader(bytes)?, bytes.len(), max_bytes),
        other => Err(Refusal::InvalidEncoding(format!("`{other}` is none of gzip, deflate, br, zstd"))),
    }
    .map(Bytes::from)
}

/// Deflate is one stream: what stands behind its end would be ignored, and with it events.
fn at_its_end(rest: &[u8], out: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    if rest.is_empty() { Ok(out) } else { Err(Refusal::InvalidEncoding(BEHIND_THE_END.to_owned())) }
}

fn zstd_reader(bytes: &[u8]) -> Result<impl Read, Refusal> {
    let broken = |error: std::io::Error| Refusal::InvalidEncoding(error.to_string());
    let mut reader = zstd::stream::read::Decoder::with_buffer(bytes).map_err(broken)?;
    reader.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(broken)?;
    Ok(reader)
}

/// RFC 1950's header; what HTTP calls deflate is sometimes sent without it.
pub(super) fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31)
        }
        _ => false,
    }
}

fn drain(reader: impl Read, packed_bytes: usize, max_bytes: usize) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(packed_bytes.saturating_mul(4).min(max_bytes));
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(|error| Refusal::InvalidEncoding(error.to_string()))?;
    if out.len() > max_bytes {
        return Err(Refusal::BodyTooLarge { name: "[collector] max_expanded", limit: max_bytes });
    }
    Ok(out)
}
