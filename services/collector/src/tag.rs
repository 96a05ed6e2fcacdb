//! `/rungs.js` and `/rungs-extra.js`: the tag that pages load, built into the program, compressed once. Its sources are in
//! `services/collector/tag`. It is also served at `[collector] tag_path`, so that its address can be any.
//!
//! Events may be posted to the path of the tag, in the form of `/v1/batch`: whatever proxy and name a site puts before
//! it, one location serves both. (The tag adds `?events`, or each POST would make browsers forget the tag.)

use std::io::Write;
use std::sync::LazyLock;

use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpResponse, HttpResponseBuilder};
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};

use crate::adapters::Endpoint;

/// Pages in a frame of another origin, and pages that isolate themselves, may load it too.
pub(crate) const RESOURCE_POLICY: (&str, &str) = ("cross-origin-resource-policy", "cross-origin");

/// A new version reaches everybody within an hour, and nobody waits for it.
const CACHED: &str = "public, max-age=3600, stale-while-revalidate=86400";

/// One of the two scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// What every page loads.
    Tag,
    /// What the tag loads with `data-extra`.
    Extra,
}

/// Where the scripts are served beside `/rungs.js` and `/rungs-extra.js`.
#[derive(Debug, Clone, Default)]
pub(crate) struct TagPaths {
    tag: Option<String>,
    extra: Option<String>,
}

/// What a conditional request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    Whole(Script),
    /// The client has it already.
    NotModified(Script),
}

struct File {
    text: &'static str,
    /// Empty when it cannot be compressed: then the text is sent.
    gzip: Vec<u8>,
    etag: String,
}

static TAG: LazyLock<File> = LazyLock::new(|| File::new(include_str!("../tag/rungs.min.js")));
static EXTRA: LazyLock<File> = LazyLock::new(|| File::new(include_str!("../tag/rungs-extra.min.js")));

impl TagPaths {
    /// The paths that a setting names; `None` if it is no path, or one of the collector's own.
    pub(crate) fn of(path: Option<&str>) -> Option<Self> {
        let Some(path) = path else { return Some(Self::default()) };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let extra = extra_path(path);
        let is_free = |path: &str| crate::adapters::find(path).0 == Endpoint::Unknown;
        let is_good = path.starts_with('/') && path.bytes().all(is_plain) && is_free(path) && is_free(&extra);
        is_good.then(|| Self { tag: Some(path.to_owned()), extra: Some(extra) })
    }

    /// What a path leads to that is none of the collector's own.
    pub(crate) fn find(&self, path: &str) -> Endpoint {
        if self.tag.as_deref() == Some(path) {
            return Endpoint::Script(Script::Tag);
        }
        if self.extra.as_deref() == Some(path) { Endpoint::Script(Script::Extra) } else { Endpoint::Unknown }
    }
}

/// As the tag makes it of its own address: `/a.js` to `/a-extra.js`, `/a` to `/a-extra`.
fn extra_path(path: &str) -> String {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    match path.rfind('.').filter(|dot| *dot > name) {
        Some(dot) => {
            let (name, ending) = path.split_at(dot);
            format!("{name}-extra{ending}")
        }
        None => format!("{path}-extra"),
    }
}

impl Script {
    /// What a GET or HEAD gets.
    pub(crate) fn served(self, headers: &HeaderMap) -> Served {
        let known = text(headers, &IF_NONE_MATCH).split(',').map(str::trim);
        let etag = &self.file().etag;
        match known.into_iter().any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag) {
            true => Served::NotModified(self),
            false => Served::Whole(self),
        }
    }

    fn file(self) -> &'static File {
        match self {
            Self::Tag => &TAG,
            Self::Extra => &EXTRA,
        }
    }
}

impl Served {
    /// The answer, whose status is set.
    pub(crate) fn answer(self, builder: &mut HttpResponseBuilder, headers: &HeaderMap) -> HttpResponse {
        let (Self::Whole(script) | Self::NotModified(script)) = self;
        let file = script.file();
        builder
            .insert_header((ETAG, file.etag.as_str()))
            .insert_header((CACHE_CONTROL, HeaderValue::from_static(CACHED)))
            .insert_header((VARY, HeaderValue::from_static("Accept-Encoding")))
            .insert_header(RESOURCE_POLICY);
        if matches!(self, Self::NotModified(_)) {
            return builder.finish();
        }
        builder
            .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")))
            .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        if takes_gzip(headers) && !file.gzip.is_empty() {
            return builder.insert_header((CONTENT_ENCODING, "gzip")).body(file.gzip.as_slice());
        }
        builder.body(file.text)
    }
}

/// The endpoint for a method: what is posted to the path of the tag is its events.
pub(crate) fn for_method(endpoint: Endpoint, method: &Method) -> Endpoint {
    match endpoint {
        Endpoint::Script(Script::Tag) if *method == Method::POST => Endpoint::Batch,
        endpoint => endpoint,
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let offered = text(headers, &ACCEPT_ENCODING).split(',');
    offered.map(|part| part.replace(' ', "").to_ascii_lowercase()).any(|part| {
        let (name, quality) = part.split_once(";q=").unwrap_or((&part, "1"));
        name == "gzip" && quality.parse::<f32>().is_ok_and(|quality| quality > 0.0)
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl File {
    fn new(text: &'static str) -> Self {
        let mut crc = Crc::new();
        crc.update(text.as_bytes());
        let etag = format!("\"{:08x}-{:x}\"", crc.sum(), crc.amount());
        Self { text, gzip: gzip(text.as_bytes()), etag }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    match encoder.write_all(bytes) {
        Ok(()) => encoder.finish().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_has_at_most_three_kibibytes() {
        for file in [&*TAG, &*EXTRA] {
            assert!((1..=3_072).contains(&file.gzip.len()), "{} bytes compressed", file.gzip.len());
        }
    }

    #[test]
    fn a_path_of_its_own_has_the_extra_beside_it() {
        for (path, extra) in
            [("/a.js", "/a-extra.js"), ("/x.y/site", "/x.y/site-extra"), ("/s/a.min.js", "/s/a.min-extra.js")]
        {
            let paths = TagPaths::of(Some(path)).unwrap();
            assert_eq!(paths.find(path), Endpoint::Script(Script::Tag));
            assert_eq!(paths.find(extra), Endpoint::Script(Script::Extra));
            assert_eq!(paths.find("/other.js"), Endpoint::Unknown);
        }
        for bad in ["", "a.js", "/v1/track", "/rungs.js", "/", "/a?b", "/a b", "/ü.js", "/v1/imports/a"] {
            assert!(TagPaths::of(Some(bad)).is_none(), "{bad}");
        }
        assert_eq!(TagPaths::of(None).unwrap().find("/a.js"), Endpoint::Unknown);
    }
}
