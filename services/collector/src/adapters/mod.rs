//! From wire forms to drafts. [`ROUTES`] is the one table from path to adapter, [`PATTERNS`] the same for paths with a name
//! in them; each adapter is a pure function in a file of its own. A vendor's client gets a file here and a row in the
//! table, nothing else.

mod batch;
pub(crate) mod click;
mod event;
mod events;
mod openpanel;
mod pixel;
mod posthog;
mod protobuf;
mod segment_form;
mod snowplow;
mod umami;
mod vendor;
pub(crate) mod vendor_settings;

#[cfg(test)]
mod tests;

use crate::draft::{Kind, Parsed};
use crate::refusal::Refusal;
use crate::tag::Script;

pub(crate) use events::{Limits, part as part_of_lines};
pub(crate) use vendor::Vendor;

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
    /// Jitsu's client: Segment's event at another path.
    Jitsu(Kind),
    /// Another vendor's events.
    Vendor(Vendor),
    /// Snowplow's event in a query.
    SnowplowQuery,
    /// What Segment's client for browsers asks first; the key is in the path.
    SegmentSettings,
    /// What PostHog's client for browsers asks first; the key is in the path.
    PostHogConfig,
    /// The same as a script.
    PostHogScript,
    /// And then this.
    PostHogFlags,
    /// The query is the event and where to send the visitor on to.
    Click,
    /// The tag; its events where they are posted.
    Script(Script),
    /// A page that tells what this is.
    Root,
    /// `POST /v1/forget`
    Forget,
    /// `POST /v1/rebuild`
    Rebuild,
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
    ("/v1/forget", Endpoint::Forget),
    ("/v1/rebuild", Endpoint::Rebuild),
    ("/rungs.js", Endpoint::Script(Script::Tag)),
    ("/rungs-extra.js", Endpoint::Script(Script::Extra)),
    ("/", Endpoint::Root),
    ("/api/s/track", Endpoint::Jitsu(Kind::Track)),
    ("/api/s/page", Endpoint::Jitsu(Kind::Page)),
    ("/api/s/screen", Endpoint::Jitsu(Kind::Screen)),
    ("/api/s/identify", Endpoint::Jitsu(Kind::Identify)),
    ("/api/s/alias", Endpoint::Jitsu(Kind::Alias)),
    ("/api/s/group", Endpoint::Jitsu(Kind::Group)),
    ("/api/s/s2s/track", Endpoint::Jitsu(Kind::Track)),
    ("/api/s/s2s/page", Endpoint::Jitsu(Kind::Page)),
    ("/api/s/s2s/screen", Endpoint::Jitsu(Kind::Screen)),
    ("/api/s/s2s/identify", Endpoint::Jitsu(Kind::Identify)),
    ("/api/s/s2s/alias", Endpoint::Jitsu(Kind::Alias)),
    ("/api/s/s2s/group", Endpoint::Jitsu(Kind::Group)),
    ("/batch/", Endpoint::Vendor(Vendor::PostHog)),
    ("/batch", Endpoint::Vendor(Vendor::PostHog)),
    ("/capture/", Endpoint::Vendor(Vendor::PostHog)),
    ("/capture", Endpoint::Vendor(Vendor::PostHog)),
    ("/e/", Endpoint::Vendor(Vendor::PostHog)),
    ("/e", Endpoint::Vendor(Vendor::PostHog)),
    ("/i/v0/e/", Endpoint::Vendor(Vendor::PostHog)),
    ("/i/v0/e", Endpoint::Vendor(Vendor::PostHog)),
    ("/i/v1/analytics/events", Endpoint::Vendor(Vendor::PostHogV1)),
    ("/flags/", Endpoint::PostHogFlags),
    ("/flags", Endpoint::PostHogFlags),
    ("/api/send", Endpoint::Vendor(Vendor::Umami)),
    ("/api/batch", Endpoint::Vendor(Vendor::Umami)),
    ("/com.snowplowanalytics.snowplow/tp2", Endpoint::Vendor(Vendor::Snowplow)),
    ("/i", Endpoint::SnowplowQuery),
    ("/track", Endpoint::Vendor(Vendor::OpenPanel)),
];

/// Path with a name in it to endpoint.
pub(crate) const PATTERNS: &[(&str, Endpoint)] = &[
    ("/v1/imports/{id}/complete", Endpoint::ImportComplete),
    ("/v1/imports/{id}", Endpoint::ImportStatus),
    ("/v1/projects/{key}/settings", Endpoint::SegmentSettings),
    ("/array/{key}/config", Endpoint::PostHogConfig),
    ("/array/{key}/config.js", Endpoint::PostHogScript),
];

/// What a path leads to, and the name that stands in it.
pub(crate) fn find(path: &str) -> (Endpoint, Option<&str>) {
    if let Some((_, endpoint)) = ROUTES.iter().find(|(known, _)| *known == path) {
        return (*endpoint, None);
    }
    let found =
        PATTERNS.iter().find_map(|(pattern, endpoint)| Some((*endpoint, Some(name_in(path, pattern)?))));
    found.unwrap_or((Endpoint::Unknown, None))
}

/// The part of a path that stands where a pattern has braces.
fn name_in<'p>(path: &'p str, pattern: &str) -> Option<&'p str> {
    let (before, rest) = pattern.split_once('{')?;
    let (_, after) = rest.split_once('}')?;
    let name = path.strip_prefix(before)?.strip_suffix(after)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

impl Endpoint {
    /// The method it takes, beside OPTIONS.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Pixel | Self::Click | Self::Script(_) | Self::Root | Self::ImportStatus => "GET",
            Self::SnowplowQuery | Self::SegmentSettings | Self::PostHogConfig | Self::PostHogScript => "GET",
            _ => "POST",
        }
    }

    /// Whether its clients come back at once when they are told to wait, so that only a late answer slows them down.
    pub(crate) fn answers_busy_late(self) -> bool {
        matches!(self, Self::Vendor(Vendor::Snowplow) | Self::SnowplowQuery)
    }

    /// Whether some of its clients throw away what was answered 429 and keep what was answered 503: posthog-js does.
    pub(crate) fn drops_on_429(self) -> bool {
        matches!(self, Self::Vendor(Vendor::PostHog | Vendor::PostHogV1))
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
            Self::Jitsu(_) => "jitsu",
            Self::Vendor(vendor) => vendor.label(),
            Self::SnowplowQuery => Vendor::Snowplow.label(),
            Self::SegmentSettings => "segment_settings",
            Self::PostHogConfig | Self::PostHogScript | Self::PostHogFlags => "posthog_config",
            Self::Click => "click",
            Self::Script(_) => "tag",
            Self::Root => "root",
            Self::Forget => "forget",
            Self::Rebuild => "rebuild",
            Self::ImportComplete | Self::ImportStatus => "imports",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a body; a vendor's is recast before it. `form` is what the content type says.
    pub(crate) fn parse<'a>(self, body: &'a [u8], form: Form, limits: Limits) -> Result<Parsed<'a>, Refusal> {
        match (self, form) {
            (Self::Events, Form::Protobuf { delimited }) => protobuf::parse(body, delimited, limits),
            (Self::Single(kind) | Self::Jitsu(kind), _) => events::single(body, kind, limits),
            (Self::Batch | Self::Vendor(_) | Self::SnowplowQuery, _) => batch::parse(body, limits),
            _ => events::parse(body, limits),
        }
    }
}

/// What the content type says, as far as anyone listens to it: JSON is recognised by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    /// NDJSON by name: `application/x-ndjson`, `application/ndjson`, `application/jsonl` or `application/x-jsonlines`.
    Lines,
    /// `application/x-protobuf`, with `delimited=true|false` if it says so.
    Protobuf {
        delimited: Option<bool>,
    },
}

const LINES: &[&str] =
    &["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"];

impl Form {
    pub(crate) fn of(content_type: &str) -> Self {
        let mut parts = content_type.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let is_one_of = |known: &[&str]| known.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is_one_of(&["application/x-protobuf", "application/protobuf"]) {
            let delimited =
                parts.find_map(|part| part.strip_prefix("delimited=")).map(|value| value == "true");
            return Self::Protobuf { delimited };
        }
        if is_one_of(LINES) { Self::Lines } else { Self::Text }
    }
}

pub(crate) use pixel::parse as parse_pixel;
pub(crate) use snowplow::recast_query as recast_snowplow_query;
