//! How much a site may send: `[[sites]] limits`. Read with the plan, asked by the collector, which keeps the buckets.
//!
//! A limit is a rate and a burst, as a bucket has them: it holds `burst`, is filled with `per_second`, and what is sent
//! is taken out of it.

/// The limits of a site; nothing is limited by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteLimits {
    /// Events of the site.
    pub events: Option<Rate>,
    /// Bytes of the site's requests, decompressed.
    pub bytes: Option<Rate>,
    /// Events of the site from one address.
    pub address_events: Option<Rate>,
    /// Events of the site by one visitor; the collector has a limit of its own where there is none.
    pub visitor_events: Option<Rate>,
}

/// How much may come, on average and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub per_second: u64,
    /// At least 1.
    pub burst: u64,
}

impl SiteLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
