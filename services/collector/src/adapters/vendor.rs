//! Clients of other vendors: whose form a path takes, and what their adapters share. An adapter is a pure function from
//! the vendor's body to Segment's batch (`segment_form`), which is then read as any batch is.

use std::borrow::Cow;

use super::{events, openpanel, posthog, snowplow, umami};
use crate::json::{Scanner, Value};
use crate::refusal::Refusal;

/// Whose wire form it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vendor {
    PostHog,
    /// The same events; the answer names each by its uuid.
    PostHogV1,
    Umami,
    Snowplow,
    OpenPanel,
}

impl Vendor {
    /// The metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::PostHog => "posthog",
            Self::PostHogV1 => "posthog_v1",
            Self::Umami => "umami",
            Self::Snowplow => "snowplow",
            Self::OpenPanel => "openpanel",
        }
    }

    /// A body as Segment's batch.
    pub(crate) fn recast(self, body: &[u8]) -> Result<String, Refusal> {
        let body = events::utf8(body)?;
        match self {
            Self::PostHog | Self::PostHogV1 => posthog::recast(body),
            Self::Umami => umami::recast(body),
            Self::Snowplow => snowplow::recast(body),
            Self::OpenPanel => openpanel::recast(body),
        }
    }

    /// The ids of a body's events, where the answer must name them.
    pub(crate) fn answer_ids(self, body: &[u8]) -> Vec<String> {
        match self {
            Self::PostHogV1 => events::utf8(body).map(posthog::uuids).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

/// The one value that a text is.
pub(super) fn scanned(text: &str) -> Result<Value<'_>, Refusal> {
    let mut scanner = Scanner::new(text);
    scanner.value().and_then(|value| scanner.end().map(|()| value)).map_err(events::invalid)
}

/// A page's address, where a client sends host and path apart.
pub(super) fn absolute<'a>(host: &str, url: &'a str) -> Cow<'a, str> {
    if host.is_empty() || url.contains("://") {
        return Cow::Borrowed(url);
    }
    Cow::Owned(format!("https://{host}{url}"))
}
