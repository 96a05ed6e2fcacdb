//! The live page: a few files built into the program, sent with an ETag, compressed once, under a content security
//! policy that allows nothing from elsewhere and no inline code. The page holds no numbers, so anybody may load it; it
//! asks the API, which checks.

use std::io::Write;
use std::sync::LazyLock;

use actix_web::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};

/// Nothing but our own files, no inline code, no frames.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Asset {
    content_type: &'static str,
    text: &'static str,
    gzip: Vec<u8>,
    etag: String,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page's files by path.
static FILES: LazyLock<Vec<(&'static str, Asset)>> = LazyLock::new(|| {
    vec![
        ("/", Asset::new("text/html; charset=utf-8", include_str!("../assets/index.html"))),
        ("/assets/style.css", Asset::new("text/css; charset=utf-8", include_str!("../assets/style.css"))),
        ("/assets/address.js", Asset::new(SCRIPT, include_str!("../assets/address.js"))),
        ("/assets/app.js", Asset::new(SCRIPT, include_str!("../assets/app.js"))),
        ("/assets/api.js", Asset::new(SCRIPT, include_str!("../assets/api.js"))),
        ("/assets/arriving.js", Asset::new(SCRIPT, include_str!("../assets/arriving.js"))),
        ("/assets/breakdown.js", Asset::new(SCRIPT, include_str!("../assets/breakdown.js"))),
        ("/assets/dom.js", Asset::new(SCRIPT, include_str!("../assets/dom.js"))),
        ("/assets/format.js", Asset::new(SCRIPT, include_str!("../assets/format.js"))),
        ("/assets/guide.js", Asset::new(SCRIPT, include_str!("../assets/guide.js"))),
        ("/assets/ladder.js", Asset::new(SCRIPT, include_str!("../assets/ladder.js"))),
        ("/assets/numbers.js", Asset::new(SCRIPT, include_str!("../assets/numbers.js"))),
        ("/assets/pickers.js", Asset::new(SCRIPT, include_str!("../assets/pickers.js"))),
        ("/assets/status.js", Asset::new(SCRIPT, include_str!("../assets/status.js"))),
        ("/assets/strangers.js", Asset::new(SCRIPT, include_str!("../assets/strangers.js"))),
        ("/assets/stuck.js", Asset::new(SCRIPT, include_str!("../assets/stuck.js"))),
        ("/assets/trend.js", Asset::new(SCRIPT, include_str!("../assets/trend.js"))),
    ]
});

static OPENAPI: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("application/json", include_str!("../assets/openapi.json")));

pub(crate) fn configure(config: &mut ServiceConfig) {
    for (path, asset) in FILES.iter() {
        config.route(path, web::get().to(move |request: HttpRequest| async move { asset.answer(&request) }));
    }
}

/// Whether a path is one of the page's.
pub(crate) fn is_page(path: &str) -> bool {
    FILES.iter().any(|(known, _)| *known == path)
}

/// `/api/v1/openapi.json`
pub(crate) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type(OPENAPI.content_type).body(OPENAPI.text)
}

impl Asset {
    fn new(content_type: &'static str, text: &'static str) -> Self {
        let mut crc = Crc::new();
        crc.update(text.as_bytes());
        let etag = format!("\"{:08x}-{:x}\"", crc.sum(), crc.amount());
        Self { content_type, text, gzip: gzip(text.as_bytes()), etag }
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let known =
            header(IF_NONE_MATCH).split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.etag);
        let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header(("ETag", self.etag.as_str()))
            .insert_header(("Cache-Control", "no-cache"))
            .insert_header(("Vary", "Accept-Encoding"))
            .insert_header(("Content-Security-Policy", CONTENT_SECURITY_POLICY));
        if known {
            return response.finish();
        }
        response.content_type(self.content_type);
        match header(ACCEPT_ENCODING).contains("gzip") && !self.gzip.is_empty() {
            true => response.insert_header(("Content-Encoding", "gzip")).body(self.gzip.clone()),
            false => response.body(self.text),
        }
    }
}

/// Empty when it cannot be compressed: then the text is sent.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    match encoder.write_all(bytes) {
        Ok(()) => encoder.finish().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}
