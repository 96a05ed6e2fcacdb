//! Makes one set of links: what the raw events say, the rule, the rows, and the order to build by it, which is given once all
//! of it is stored.

use bytes::Bytes;
use event_log::{Message, partition_of};
use funnel::identity::{Links, join};
use funnel::intake::visitor_hash;
use rungs_proto::v1::{Rebuild, control::Action};
use runtime::now_ms;
use warehouse::links::{LinkRow, LinkSet, NewestSet};

use super::{Due, Linking, LinkingError};
use crate::store::in_pieces;

/// Ids of a site that came with a user id and are looked at, at most: those seen last. In memory they take about 300 bytes
/// each while a set is made. Others count by themselves.
const MAX_LINKED_IDS: usize = 500_000;
/// Links in one insert, at most.
const LINKS_PER_WRITE: usize = 50_000;

impl Linking {
    /// Makes a set, newer than whatever was `ordered`, and announces it. One that joins nobody after one that joined nobody
    /// changes no number, and is not.
    pub(super) async fn make(
        &self,
        site: &str,
        before: Option<&NewestSet>,
        ordered: u64,
        due: Due,
    ) -> Result<(), LinkingError> {
        let largest = self.warehouse.largest_generation(site).await?;
        let largest = largest.max(ordered).max(before.map_or(0, |set| set.number));
        let largest = largest.max(self.log.generation_floor);
        let number = now_ms().max(0).cast_unsigned().max(largest + 1);
        let stored = self.warehouse.stored().await?;
        if stored.epoch != self.log.epoch {
            // Another log is in use, or this one has stored nothing yet: places of one mean nothing on the other.
            return Ok(());
        }
        let mut seen = self.warehouse.companions(site, &stored, MAX_LINKED_IDS + 1).await?;
        if seen.len() > MAX_LINKED_IDS {
            tracing::warn!(
                site,
                limit = MAX_LINKED_IDS,
                "more ids came with a user; those seen longest ago are not joined"
            );
            seen.truncate(MAX_LINKED_IDS);
        }
        let (of, partitions) = (site.to_owned(), self.publisher.partitions());
        let made = tokio::task::spawn_blocking(move || {
            let links = join(&seen);
            let rows = rows_of(&of, number, &links, partitions);
            (links, rows)
        });
        let (links, rows) = made.await?;
        self.show(site, &links);
        let count = rows.len() as u64;
        for piece in in_pieces(rows, LINKS_PER_WRITE) {
            self.warehouse.insert::<LinkRow>("links", &piece).await?;
        }
        let joined_nobody = before.is_none_or(|set| set.links == 0 && set.announced);
        let announced = count == 0 && joined_nobody;
        let set = LinkSet {
            site: site.to_owned(),
            number,
            log_epoch: stored.epoch,
            passed: stored.passed,
            links: count,
            announced,
        };
        self.warehouse.insert::<LinkSet>("link_sets", std::slice::from_ref(&set)).await?;
        if !announced {
            self.publisher.publish(Message::to_all(partitions, &order(site, number)))?.await?;
            let announced = LinkSet { announced: true, ..set };
            self.warehouse.insert::<LinkSet>("link_sets", &[announced]).await?;
            tracing::info!(
                site,
                set = number,
                links = count,
                ?due,
                "funnels are counted by new links of ids"
            );
        }
        self.warehouse.remove_replaced_links(site).await?;
        Ok(())
    }

    fn show(&self, site: &str, links: &Links) {
        let joined = links.links.iter().filter(|link| !link.is_second).count();
        let states = [("joined", joined), ("common", links.apart.common), ("crowded", links.apart.crowded)];
        for (state, ids) in states {
            self.ids.with_label_values(&[site, state]).set(i64::try_from(ids).unwrap_or(i64::MAX));
        }
    }
}

/// The rows of a set, on a log of so many partitions.
pub fn rows_of(site: &str, number: u64, links: &Links, partitions: u32) -> Vec<LinkRow> {
    let hash = |id: &str| if id.is_empty() { 0 } else { visitor_hash(id) };
    let row = |link: &funnel::identity::Link| LinkRow {
        site: site.to_owned(),
        number,
        visitor_id: link.id.clone(),
        visitor: hash(&link.id),
        user_hash: hash(&link.user),
        is_second: link.is_second,
        person: hash(&link.person),
        visitor_partition: partition_of(site, &link.id, partitions),
        person_partition: partition_of(site, &link.person, partitions),
    };
    links.links.iter().map(row).collect()
}

/// The record that has a partition build a site's funnels by a set.
fn order(site: &str, number: u64) -> Bytes {
    let rebuild = Rebuild { site: site.to_owned(), funnel: String::new() };
    Bytes::from(rungs_proto::control_record(number, Action::Rebuild(rebuild)))
}
