//! From wire forms to drafts. [`ROUTES`] is the one table from path to adapter; each adapter is a pure function in a file
//! of its own. A vendor's client gets a file here and a row in the table, nothing else.

mod batch;
pub(crate) mod click;
mod event;
mod events;
mod pixel;
mod protobuf;

use crate::draft::{Kind, Parsed};
use crate::refusal::Refusal;
use crate::tag::Script;

pub(crate) use events::Limits;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// One event of a kind that the path names.
    Single(Kind),
    /// `{"batch":[…]}`
    Batch,
    /// JSON object, array, NDJSON, or protobuf.
    Events,
    /// As `Events`, posted by `navigator.sendBeacon`.
    Beacon,
    /// The query is the event, the answer a picture.
    Pixel,
    /// The query is the event and where to send the visitor on to.
    Click,
    /// The tag; its events where they are posted.
    Script(Script),
    /// A page that tells what this is.
    Root,
    /// `POST /v1/imports/{id}/complete`
    ImportComplete,
    /// `GET /v1/imports/{id}`
    ImportStatus,
    /// Nothing is here.
    Unknown,
}

/// Path to adapter.
pub(crate) const ROUTES: &[(&str, Endpoint)] = &[
    ("/v1/track", Endpoint::Single(Kind::Track)),
    ("/v1/t", Endpoint::Single(Kind::Track)),
    ("/v1/page", Endpoint::Single(Kind::Page)),
    ("/v1/p", Endpoint::Single(Kind::Page)),
    ("/v1/screen", Endpoint::Single(Kind::Screen)),
    ("/v1/s", Endpoint::Single(Kind::Screen)),
    ("/v1/identify", Endpoint::Single(Kind::Identify)),
    ("/v1/i", Endpoint::Single(Kind::Identify)),
    ("/v1/alias", Endpoint::Single(Kind::Alias)),
    ("/v1/a", Endpoint::Single(Kind::Alias)),
    ("/v1/group", Endpoint::Single(Kind::Group)),
    ("/v1/g", Endpoint::Single(Kind::Group)),
    ("/v1/batch", Endpoint::Batch),
    ("/v1/b", Endpoint::Batch),
    ("/v1/events", Endpoint::Events),
    ("/v1/beacon", Endpoint::Beacon),
    ("/v1/pixel.gif", Endpoint::Pixel),
    ("/v1/click", Endpoint::Click),
    ("/rungs.js", Endpoint::Script(Script::Tag)),
    ("/rungs-extra.js", Endpoint::Script(Script::Extra)),
    ("/", Endpoint::Root),
];

/// What a path leads to; an import's id is in the path.
pub(crate) fn find(path: &str) -> (Endpoint, Option<&str>) {
    if let Some((_, endpoint)) = ROUTES.iter().find(|(known, _)| *known == path) {
        return (*endpoint, None);
    }
    match path.strip_prefix("/v1/imports/").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
        Some((id, "complete")) => (Endpoint::ImportComplete, Some(id)),
        Some((id, "")) => (Endpoint::ImportStatus, Some(id)),
        _ => (Endpoint::Unknown, None),
    }
}

impl Endpoint {
    /// The method it takes, beside OPTIONS.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Pixel | Self::Click | Self::Script(_) | Self::Root | Self::ImportStatus => "GET",
            _ => "POST",
        }
    }

    /// The metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Single(Kind::Track) => "track",
            Self::Single(Kind::Page) => "page",
            Self::Single(Kind::Screen) => "screen",
            Self::Single(Kind::Identify) => "identify",
            Self::Single(Kind::Alias) => "alias",
            Self::Single(Kind::Group) => "group",
            Self::Batch => "batch",
            Self::Events => "events",
            Self::Beacon => "beacon",
            Self::Pixel => "pixel",
            Self::Click => "click",
            Self::Script(_) => "tag",
            Self::Root => "root",
            Self::ImportComplete | Self::ImportStatus => "imports",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a body. `protobuf` is what the content type says; `delimited` its parameter of that name.
    pub(crate) fn parse<'a>(self, body: &'a [u8], form: Form, limits: Limits) -> Result<Parsed<'a>, Refusal> {
        match (self, form) {
            (Self::Events, Form::Protobuf { delimited }) => protobuf::parse(body, delimited, limits),
            (Self::Single(kind), _) => events::single(body, kind, limits),
            (Self::Batch, _) => batch::parse(body, limits),
            _ => events::parse(body, limits),
        }
    }
}

/// What the content type says, as far as anyone listens to it: JSON is recognised by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    /// `application/x-protobuf`, with `delimited=true|false` if it says so.
    Protobuf {
        delimited: Option<bool>,
    },
}

impl Form {
    pub(crate) fn of(content_type: &str) -> Self {
        let mut parts = content_type.split(';').map(str::trim);
        let is_protobuf = parts.next().is_some_and(|name| {
            ["application/x-protobuf", "application/protobuf"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        });
        let delimited =
            parts.filter_map(|part| part.strip_prefix("delimited=")).map(|value| value == "true").next();
        if is_protobuf { Self::Protobuf { delimited } } else { Self::Text }
    }
}

pub(crate) use pixel::parse as parse_pixel;
