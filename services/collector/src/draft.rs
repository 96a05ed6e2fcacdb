//! What an adapter makes of a wire form: an event's fields under Segment's names, borrowed from the request and not yet
//! judged. Validation (`crate::validate`) turns a draft into a record or a rejection.

use std::borrow::Cow;

use crate::json::Value;
use crate::rejection::Rejection;

pub(crate) use rungs_proto::v1::Kind;

/// An event as it was sent.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) kind: Kind,
    pub(crate) event: Value<'a>,
    pub(crate) anonymous_id: Value<'a>,
    pub(crate) user_id: Value<'a>,
    pub(crate) message_id: Value<'a>,
    pub(crate) timestamp: When<'a>,
    /// When the client sent the event, by its own clock; the request's applies where this is absent.
    pub(crate) sent_at: When<'a>,
    pub(crate) properties: Value<'a>,
    pub(crate) context: Value<'a>,
    /// `name` of a page or screen.
    pub(crate) name: Value<'a>,
    /// `previousId` of an alias, `groupId` of a group.
    pub(crate) related_id: Value<'a>,
    /// Revenue in 1/10,000 and its currency, where the wire form has them as fields of their own.
    pub(crate) revenue: Option<(i64, &'a str)>,
}

impl Draft<'_> {
    /// Whether it names no visitor.
    pub(crate) fn is_nameless(&self) -> bool {
        [&self.anonymous_id, &self.user_id].into_iter().all(|id| id.text_or_number().is_none())
    }
}

/// A point in time as it was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum When<'a> {
    #[default]
    Absent,
    /// Text or number, still to be read.
    Written(Value<'a>),
    /// UTC milliseconds.
    Ms(i64),
}

impl<'a> When<'a> {
    /// `null` is as good as absent.
    pub(crate) fn written(value: Value<'a>) -> Self {
        if value.is_null() { Self::Absent } else { Self::Written(value) }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Absent { other } else { self }
    }
}

/// What an adapter makes of a request's body.
#[derive(Debug, Default)]
pub(crate) struct Parsed<'a> {
    /// Every event of the request in its order, also those that are rejected already.
    pub(crate) events: Vec<Result<Draft<'a>, Rejection>>,
    /// The write key in the body.
    pub(crate) write_key: Option<Cow<'a, str>>,
    /// When the request was sent, by the client's clock.
    pub(crate) sent_at: When<'a>,
    /// What was sent for each event that is rejected already, in order; may lack some.
    pub(crate) rejected: Vec<&'a [u8]>,
}
