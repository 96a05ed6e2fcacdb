//! What makes sets of links: as the aggregator's own does by SQL, but for what is deleted. A set is there at once or not at all;
//! that every partition builds by it is up to [`crate::controls`].

use std::collections::BTreeMap;

use aggregator::linking::rows_of;
use aggregator::memory::Tables;
use event_log::partition_of;
use funnel::identity::{Companions, Joined, Person, join};
use warehouse::links::LinkSet;

use crate::eraser::folded;
use crate::weather::Weather;

/// The site that joins ids.
pub const SITE: &str = "t";

/// Makes a set of what the raw events say that are known to be stored; its number, which is larger than any that was used.
pub fn make(tables: &mut Tables, weather: &Weather, now_ms: i64) -> u64 {
    let (partitions, log_epoch) = (weather.partitions, weather.epoch);
    let passed: Vec<u64> = (0..partitions).map(|partition| folded(tables, partition)).collect();
    let links = join(&companions(tables, &passed, weather));
    let largest = tables.progress.values().filter(|row| row.site == SITE).map(|row| row.generation).max();
    let newest = tables.links.keys().map(|(_, number)| *number).max();
    let number = now_ms.cast_unsigned().max(largest.unwrap_or(0) + 1).max(newest.unwrap_or(0) + 1);
    let number = number.max(weather.generation_floor + 1);
    let rows = rows_of(SITE, number, &links, partitions);
    let site = SITE.to_owned();
    let set = LinkSet { site, number, log_epoch, passed, links: rows.len() as u64, announced: false };
    tables.links.insert((SITE.to_owned(), number), (set, rows));
    number
}

fn companions(tables: &Tables, passed: &[u64], weather: &Weather) -> Vec<Companions> {
    let is_erased = |id: &str| tables.erasures.contains_key(&(SITE.to_owned(), id.to_owned()));
    let mut seen: BTreeMap<&str, Vec<(i64, u64, &str)>> = BTreeMap::new();
    for ((site, visitor, _), (epoch, offset, event)) in &tables.events {
        let partition = partition_of(site, visitor, weather.partitions);
        let is_stored = (*epoch, *offset) < (weather.epoch, passed[partition as usize]);
        let names = site == SITE && !event.user_id.is_empty();
        if names && is_stored && !is_erased(visitor) && !is_erased(&event.user_id) {
            seen.entry(visitor).or_default().push((event.ts, *offset, &event.user_id));
        }
    }
    let companions = |(id, mut users): (&str, Vec<(i64, u64, &str)>)| {
        users.sort_unstable();
        let mut each: Vec<String> = Vec::new();
        for (_, _, user) in &users {
            if !each.iter().any(|known| known == user) {
                each.push((*user).to_owned());
            }
        }
        let last_seen_ms = users.iter().map(|(ts, ..)| *ts).max().unwrap_or(0);
        Companions { id: id.to_owned(), last_seen_ms, users: each }
    };
    seen.into_iter().map(companions).collect()
}

/// The set that a generation counts by in the end, with all of its links.
pub fn set_of(tables: &Tables, site: &str, generation: u64) -> Option<(LinkSet, Joined)> {
    let (_, (set, rows)) =
        tables.links.range((site.to_owned(), 0)..=(site.to_owned(), generation)).next_back()?;
    let mut joined = Joined::default();
    for row in rows {
        let person = Person { visitor: row.person, partition: row.person_partition };
        joined.add(row.visitor, row.user_hash, row.is_second, person);
    }
    Some((set.clone(), joined))
}
