//! A site's newest events, for who reads them every second: the console. News are looked for in the last minute, each time;
//! what is older, in the shortest span that has enough of it, and again only after [`WIDE_PACE_MS`], because a quiet site
//! has its last hundred events spread over a month of parts.
//!
//! So an event is listed at the next read if it is stored within a minute of its receipt, else (a lane lags, a table was
//! restored) up to [`WIDE_PACE_MS`] later; and one whose visitor asks to be forgotten goes as late.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client::Warehouse;
use crate::error::WarehouseError;
use crate::trace::Traced;

/// News are at most this old.
const NEWS_MS: i64 = 60_000;
/// Spans that are searched one after the other until there is enough, in milliseconds.
const SPANS_MS: [i64; 3] = [3_600_000, 86_400_000, 30 * 86_400_000];
/// A site's wide span is searched this often at most, milliseconds.
pub const WIDE_PACE_MS: i64 = 10_000;
/// What was found of a site that nobody asks about is kept for so long, milliseconds.
const KEPT_MS: i64 = 60_000;

/// Remembers what it found; clones share it.
#[derive(Clone)]
pub struct NewestEvents {
    warehouse: Warehouse,
    limit: u32,
    sites: Arc<Mutex<HashMap<String, Searched>>>,
}

/// A search of a wide span.
#[derive(Clone)]
struct Searched {
    at_ms: i64,
    /// The position of the span that would have sufficed.
    span: usize,
    found: Arc<Vec<Traced>>,
}

impl Searched {
    /// Whether what it found is still handed out. A clock that was set back makes it neither older nor younger.
    fn is_new(&self, now_ms: i64) -> bool {
        (0..WIDE_PACE_MS).contains(&(now_ms - self.at_ms))
    }
}

impl NewestEvents {
    /// Lists of at most `limit` events.
    pub fn new(warehouse: Warehouse, limit: u32) -> Self {
        Self { warehouse, limit, sites: Arc::default() }
    }

    /// The newest events of a site that were received in the 30 days before `now_ms` (UTC milliseconds), newest first,
    /// without visitors who asked to be forgotten; of copies, the one received last.
    ///
    /// # Errors
    /// ClickHouse's.
    pub async fn of(&self, site: &str, now_ms: i64) -> Result<Vec<Traced>, WarehouseError> {
        let news = self.since(site, now_ms - NEWS_MS).await?;
        if self.is_enough(&news) {
            return Ok(news);
        }
        let known = self.sites().get(site).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.is_new(now_ms)) {
            return Ok(merged(news, &known.found, self.limit as usize));
        }
        let found = self.search(site, now_ms, known.map_or(0, |known| known.span)).await?;
        Ok(found.to_vec())
    }

    /// Searches the span of this position and, where it has not enough, longer ones; remembers what it found.
    async fn search(&self, site: &str, now_ms: i64, from: usize) -> Result<Arc<Vec<Traced>>, WarehouseError> {
        let mut found = Vec::new();
        for span in SPANS_MS.iter().skip(from) {
            found = self.since(site, now_ms - span).await?;
            if self.is_enough(&found) {
                break;
            }
        }
        let oldest = found.last().filter(|_| self.is_enough(&found)).map(|event| event.stored.received_at);
        let span = oldest.map_or(SPANS_MS.len() - 1, |oldest| sufficient(now_ms - oldest));
        let found = Arc::new(found);
        let mut sites = self.sites();
        sites.retain(|_, known| now_ms - known.at_ms < KEPT_MS);
        sites.insert(site.to_owned(), Searched { at_ms: now_ms, span, found: Arc::clone(&found) });
        Ok(found)
    }

    async fn since(&self, site: &str, since_ms: i64) -> Result<Vec<Traced>, WarehouseError> {
        self.warehouse.newest_since(site, since_ms, self.limit).await
    }

    fn is_enough(&self, found: &[Traced]) -> bool {
        found.len() >= self.limit as usize
    }

    fn sites(&self) -> MutexGuard<'_, HashMap<String, Searched>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The position of the shortest span that reaches so far back.
fn sufficient(age_ms: i64) -> usize {
    SPANS_MS.iter().position(|span| *span >= age_ms).unwrap_or(SPANS_MS.len() - 1)
}

/// News before what was found earlier; of an event in both, the one of the news, which was received last.
fn merged(news: Vec<Traced>, found: &[Traced], limit: usize) -> Vec<Traced> {
    let id = |traced: &Traced| (traced.event.visitor_id.clone(), traced.event.message_id.clone());
    let known: HashSet<_> = news.iter().map(id).collect();
    let older = found.iter().filter(|traced| !known.contains(&id(traced))).cloned();
    let mut all: Vec<Traced> = news.into_iter().chain(older).collect();
    // Stable: what was found earlier may hold events as new as the news are.
    all.sort_by_key(|traced| std::cmp::Reverse(traced.stored.received_at));
    all.truncate(limit);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_search_begins_with_the_shortest_span_that_would_have_sufficed() {
        for (age_ms, position) in [(0, 0), (3_600_000, 0), (3_600_001, 1), (86_400_001, 2), (i64::MAX, 2)] {
            assert_eq!(sufficient(age_ms), position, "{age_ms}");
        }
    }

    #[test]
    fn a_search_is_good_for_ten_seconds_and_not_after_a_clock_was_set_back() {
        let known = Searched { at_ms: 1_000, span: 0, found: Arc::default() };
        assert_eq!([999, 1_000, 10_999, 11_000].map(|now| known.is_new(now)), [false, true, true, false]);
    }
}
