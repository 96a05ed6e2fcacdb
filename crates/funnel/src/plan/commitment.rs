//! The kinds of small yes that a step can ask for.

use std::fmt;

/// What a visitor commits to at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Commitment {
    Click,
    Read,
    Watch,
    Answer,
    Download,
    OptIn,
    Open,
    Share,
    Follow,
    Connect,
    Reply,
    Book,
    Refer,
    Purchase,
    Other,
}

impl Commitment {
    /// Every kind, in the order in which docs list them.
    pub const ALL: [Self; 15] = [
        Self::Click,
        Self::Read,
        Self::Watch,
        Self::Answer,
        Self::Download,
        Self::OptIn,
        Self::Open,
        Self::Share,
        Self::Follow,
        Self::Connect,
        Self::Reply,
        Self::Book,
        Self::Refer,
        Self::Purchase,
        Self::Other,
    ];

    /// As plans, answers and metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Read => "read",
            Self::Watch => "watch",
            Self::Answer => "answer",
            Self::Download => "download",
            Self::OptIn => "opt_in",
            Self::Open => "open",
            Self::Share => "share",
            Self::Follow => "follow",
            Self::Connect => "connect",
            Self::Reply => "reply",
            Self::Book => "book",
            Self::Refer => "refer",
            Self::Purchase => "purchase",
            Self::Other => "other",
        }
    }

    /// The kind that a plan names.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Commitment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
