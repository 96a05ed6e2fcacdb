//! Whose events a site wants: `[[sites]]`. Read with the plan, kept to by the collector.

/// What a site decided; the default is what suits most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SitePolicy {
    /// `bots`
    pub bots: Bots,
    /// `allow_values`: properties whose values are stored as they are, also where they look like something that is masked.
    pub allow_values: Vec<String>,
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
