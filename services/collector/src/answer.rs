//! The answers: one JSON for success that satisfies every client (some want exactly 200, some a JSON object, some a
//! field `results`), one shape for errors, a picture for the pixel, and the headers that all of them carry.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderMap, HeaderName, HeaderValue, LOCATION, PRAGMA,
    RETRY_AFTER,
};
use actix_web::{HttpResponse, HttpResponseBuilder};
use std::fmt::Write as _;
use url::Url;

use crate::cors;
use crate::json::push_quoted;
use crate::limits::MAX_REJECTED_LISTED;
use crate::outcome::Rejected;
use crate::refusal::Refusal;
use crate::tag::{RESOURCE_POLICY, Served};

/// A transparent picture of one pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

const ROOT: &str = "This is a Rungs collector: websites and servers post events here.\n\n\
    POST /v1/track, /v1/batch, /v1/events with your site's write key; answers are JSON.\n\
    Documentation: docs/http-api.md in the project's repository.\n";

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that was handled.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What became of the events. `ids` names each of them where the client's protocol wants that, else it is empty.
    Stored {
        accepted: u64,
        rejected: Vec<Rejected>,
        ids: Vec<String>,
    },
    /// Any other JSON.
    Json(String),
    /// What a client asks before it sends; it may be kept for some minutes.
    Settings(String),
    SettingsScript(String),
    Pixel,
    /// The visitor goes on to where a link leads.
    Redirect(Url),
    Script(Served),
    Root,
    Preflight,
}

/// Names a request in its answer and in the log.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's or proxy's X-Request-Id if it is a plain one, else a random one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let sent = headers.get(REQUEST_ID).filter(|id| {
            let bytes = id.as_bytes();
            (1..=64).contains(&bytes.len()) && bytes.iter().all(plain)
        });
        match sent {
            Some(id) => Self(id.clone()),
            None => Self(random_id()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// 16 hex digits.
fn random_id() -> HeaderValue {
    let mut rest = rand::random::<u64>();
    let digits = [(); 16].map(|()| {
        let digit = (rest & 15) as u8;
        rest >>= 4;
        if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
    });
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"))
}

/// The response to a request with these headers, one of them the origin.
pub(crate) fn respond(
    result: Result<Answer, Refusal>,
    headers: &HeaderMap,
    origin: Option<&HeaderValue>,
    request_id: &RequestId,
    closing: bool,
) -> HttpResponse {
    let mut builder = HttpResponse::build(status(&result));
    // Caches share the tag between sites, so its answer names none.
    let origin = origin.filter(|_| !matches!(result, Ok(Answer::Script(_))));
    cors::allow(&mut builder, origin);
    builder.insert_header((REQUEST_ID, request_id.0.clone()));
    if closing {
        builder.force_close();
    }
    match result {
        Ok(Answer::Stored { accepted, rejected, ids }) => {
            json(&mut builder, stored(accepted, &rejected, &ids))
        }
        Ok(Answer::Json(text)) => json(&mut builder, text),
        Ok(Answer::Settings(text)) => json(kept(&mut builder), text),
        Ok(Answer::SettingsScript(text)) => script(kept(&mut builder), text),
        Ok(Answer::Pixel) => pixel(&mut builder),
        Ok(Answer::Redirect(destination)) => redirect(&mut builder, &destination),
        Ok(Answer::Script(served)) => served.answer(&mut builder, headers),
        Ok(Answer::Root) => builder
            .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
            .body(ROOT),
        Ok(Answer::Preflight) => {
            cors::preflight(&mut builder);
            builder.finish()
        }
        Err(refusal) => refused(&mut builder, &refusal, request_id),
    }
}

fn status(result: &Result<Answer, Refusal>) -> StatusCode {
    match result {
        Ok(Answer::Redirect(_)) => StatusCode::FOUND,
        Ok(Answer::Script(Served::NotModified(_))) => StatusCode::NOT_MODIFIED,
        Ok(_) => StatusCode::OK,
        Err(refusal) => refusal.wire().status,
    }
}

/// Each showing is to be asked for: mail programs and proxies keep pictures unless every header of every age forbids it.
fn uncached(builder: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    builder
        .insert_header((
            CACHE_CONTROL,
            HeaderValue::from_static("no-store, no-cache, must-revalidate, max-age=0"),
        ))
        .insert_header((PRAGMA, HeaderValue::from_static("no-cache")))
        .insert_header((EXPIRES, HeaderValue::from_static("0")))
}

fn pixel(builder: &mut HttpResponseBuilder) -> HttpResponse {
    uncached(builder)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("image/gif")))
        .insert_header(RESOURCE_POLICY)
        .body(PIXEL)
}

/// For settings: a page that is opened again need not ask again.
fn kept(builder: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    builder.insert_header((CACHE_CONTROL, HeaderValue::from_static("private, max-age=300")))
}

fn script(builder: &mut HttpResponseBuilder, text: String) -> HttpResponse {
    let script = HeaderValue::from_static("text/javascript; charset=utf-8");
    builder.insert_header((CONTENT_TYPE, script)).body(text)
}

fn redirect(builder: &mut HttpResponseBuilder, destination: &Url) -> HttpResponse {
    uncached(builder)
        .insert_header((LOCATION, destination.as_str()))
        .insert_header((ROBOTS, HeaderValue::from_static("noindex, nofollow")))
        .finish()
}

fn json(builder: &mut HttpResponseBuilder, text: String) -> HttpResponse {
    builder.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json"))).body(text)
}

fn stored(accepted: u64, rejected: &[Rejected], ids: &[String]) -> String {
    let mut text = String::with_capacity(96 + 128 * rejected.len() + 64 * ids.len());
    let _ = write!(text, r#"{{"ok":true,"success":true,"status":"Ok","accepted":{accepted},"rejected":["#);
    for (place, Rejected { index, rejection }) in rejected.iter().take(MAX_REJECTED_LISTED).enumerate() {
        let comma = if place > 0 { "," } else { "" };
        let _ = write!(text, r#"{comma}{{"index":{index},"code":"{}","message":"#, rejection.reason.code());
        push_quoted(&mut text, &rejection.message);
        text.push('}');
    }
    text.push_str(r#"],"results":{"#);
    results(&mut text, rejected, ids);
    text.push_str("}}");
    text
}

/// `"ID":{"result":"ok"}` or `"drop"`, for each event that has an id.
fn results(text: &mut String, rejected: &[Rejected], ids: &[String]) {
    let mut rejected = rejected.iter().peekable();
    let mut comma = "";
    for (index, id) in ids.iter().enumerate() {
        let rejection = rejected.next_if(|event| event.index == index).map(|event| &event.rejection);
        if id.is_empty() {
            continue;
        }
        text.push_str(std::mem::replace(&mut comma, ","));
        push_quoted(text, id);
        match rejection {
            None => text.push_str(r#":{"result":"ok"}"#),
            Some(rejection) => {
                text.push_str(r#":{"result":"drop","details":"#);
                push_quoted(text, &rejection.message);
                text.push('}');
            }
        }
    }
}

/// `detail` repeats the message: some clients show the one, some the other.
fn refused(builder: &mut HttpResponseBuilder, refusal: &Refusal, request_id: &RequestId) -> HttpResponse {
    let wire = refusal.wire();
    tracing::debug!(request_id = request_id.as_str(), code = wire.code, %refusal, "request refused");
    if wire.retry {
        // Spread, so that clients do not all come back in the same second.
        let after = refusal.quota().map_or(0, |quota| quota.retry_after_s.saturating_sub(1));
        builder.insert_header((RETRY_AFTER, after + rand::random_range(1..=5)));
    }
    if let Refusal::MethodNotAllowed(allowed) = refusal {
        builder.insert_header((ALLOW, HeaderValue::from_static(allowed)));
    }
    let mut message = String::new();
    push_quoted(&mut message, &refusal.to_string());
    let limit = refusal.quota().map_or_else(String::new, |quota| format!(r#","limit":"{}""#, quota.key()));
    let text = format!(
        r#"{{"code":"{}","message":{message},"detail":{message},"request_id":"{}"{limit}}}"#,
        wire.code,
        request_id.as_str()
    );
    json(builder, text)
}
