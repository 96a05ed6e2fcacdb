//! Whose events a site wants: `[[sites]]`. Read with the plan, kept to by the collector.

/// What a site decided; the default is what suits most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SitePolicy {
    /// `bots`
    pub bots: Bots,
    /// `allow_values`: properties whose values are stored as they are, also where they look like something that is masked.
    pub allow_values: Vec<String>,
    /// `respect`: events of whoever sends one of these are left out; sorted, each once.
    pub respect: Vec<Signal>,
    /// `cookieless`: events without an id belong to whoever sends from one address with one browser on one day.
    pub cookieless: bool,
    /// `identity`: what makes a visitor.
    pub identity: Identity,
}

/// What makes a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Identity {
    /// An id: `anonymousId`, or `userId` where there is none.
    #[default]
    Ids,
    /// The ids that `identify`, `alias` and events with two ids link ([`crate::identity`]), as of the last build.
    Links,
}

/// How a browser says that its visitor does not want to be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Global Privacy Control: `Sec-GPC: 1`.
    Gpc,
    /// Do Not Track: `DNT: 1`.
    Dnt,
}

impl Signal {
    /// As the plan writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpc => "gpc",
            Self::Dnt => "dnt",
        }
    }
}

/// What becomes of events of crawlers, link previews and pages that are fetched ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bots {
    /// They are counted as left out, and not stored.
    #[default]
    LeaveOut,
    /// They are events like any others.
    Keep,
}
