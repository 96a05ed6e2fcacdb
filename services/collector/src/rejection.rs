//! Why a single event is not stored while the rest of its request is. The code is the same in the answer's `rejected`,
//! in the metric's `reason` and in the docs.

use std::borrow::Cow;

use funnel::plan::Rule;

/// An event that is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The rule that it breaks.
    pub reason: Reason,
    /// What exactly was wrong and what to do, for people.
    pub message: Cow<'static, str>,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// The rule that a rejected event breaks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the docs' order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code in answers, metrics and docs.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// What the docs say about it.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// A line of an NDJSON body is not JSON.
    InvalidJson = "invalid_json",
    /// The event is not a JSON object.
    NotAnObject = "not_an_object",
    /// The event is larger than `[collector] max_event`.
    EventTooLarge = "event_too_large",
    /// A field is nested deeper than `MAX_NESTING`.
    TooDeep = "too_deep",
    /// A text contains NUL or half of a surrogate pair.
    InvalidText = "invalid_text",
    /// A number does not fit a 64-bit float.
    InvalidNumber = "invalid_number",
    /// A field has the wrong type, e.g. `properties` is not an object.
    InvalidField = "invalid_field",
    /// The event's `type` is none of track, page, screen, identify, alias, group.
    UnknownType = "unknown_type",
    /// A track event has no name.
    MissingEvent = "missing_event",
    /// The event's name is longer than `MAX_EVENT_NAME_BYTES` or contains control characters.
    InvalidEvent = "invalid_event",
    /// There is neither `anonymousId` nor `userId`.
    MissingVisitor = "missing_visitor",
    /// `anonymousId` or `userId` is longer than `MAX_VISITOR_ID_BYTES`.
    InvalidVisitor = "invalid_visitor",
    /// `messageId` is longer than `MAX_MESSAGE_ID_BYTES`.
    InvalidMessageId = "invalid_message_id",
    /// The time is neither ISO 8601 nor seconds or milliseconds since 1970.
    InvalidTimestamp = "invalid_timestamp",
    /// The time is before the year 2000 or more than `MAX_FUTURE_MS` in the future.
    TimestampOutOfRange = "timestamp_out_of_range",
    /// The site's schema does not name the event, allows no others (`additional_events = false`), and is strict.
    UnplannedEvent = "unplanned_event",
    /// A property that the event's schema requires is missing or `null`, and the site's `schema` is strict.
    RequiredMissing = "required_missing",
    /// A property has another type than the event's schema says, and the site's `schema` is strict.
    DatatypeMismatch = "datatype_mismatch",
    /// The event has a property that its schema does not allow, and the site's `schema` is strict.
    UnplannedProperty = "unplanned_property",
    /// The visitor sends more than `visitor_events_per_second` of the site's `limits` allows.
    VisitorQuota = "visitor_quota",
    /// Left out: the client's User-Agent is a bot's, and the site's `bots` does not keep them.
    Bot = "bot",
    /// Left out: a browser fetched the picture or the link ahead of a visit.
    Prefetch = "prefetch",
    /// Left out: the visitor's browser sends a signal that the site's `respect` lists.
    OptedOut = "opted_out",
}

impl Reason {
    /// Whether the event was good and is not wanted; nothing of such a one is kept.
    pub fn leaves_out(self) -> bool {
        matches!(self, Self::Bot | Self::Prefetch | Self::OptedOut)
    }

    /// What breaks a rule of the site's schema.
    pub(crate) fn of_rule(rule: Rule) -> Self {
        match rule {
            Rule::PlannedEvent => Self::UnplannedEvent,
            Rule::Required => Self::RequiredMissing,
            Rule::DataType => Self::DatatypeMismatch,
            Rule::PlannedProperty => Self::UnplannedProperty,
        }
    }

    /// A rejection for this reason.
    pub fn because(self, message: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { reason: self, message: message.into() }
    }
}
