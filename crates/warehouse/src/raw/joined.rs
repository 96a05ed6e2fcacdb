//! The raw events of a partition of a site that joins ids: its own, and those of ids of other partitions that a set of links
//! may count for visitors here. Called by [`super`].
//!
//! Positions of other partitions mean nothing here. So of their ids counts what was stored when the set was made, by their own
//! partition's position then; each attempt of a build, and each partition, reads the same.

use clickhouse::query::Query;

use crate::links::LinkSet;

/// Its values: [`bind`].
pub(super) const CONDITION: &str = "site = ? AND event IN ? AND (
    (kafkaMurmurHash(concat(site, '\\0', visitor_id)) % ? = ? AND (log_epoch, offset) < (?, ?)
     AND visitor_id NOT IN (SELECT visitor_id FROM erasures WHERE site = ? AND (log_epoch, log_offset) < (?, ?)))
    OR
    (visitor_id IN (SELECT visitor_id FROM links
                    WHERE site = ? AND number = ? AND person_partition = ? AND visitor_partition != ?)
     AND (log_epoch, offset) < (?, arrayElement(?, kafkaMurmurHash(concat(site, '\\0', visitor_id)) % length(?) + 1))
     AND visitor_id NOT IN (
         SELECT visitor_id FROM erasures
         WHERE site = ? AND (log_epoch, log_offset)
             < (?, arrayElement(?, kafkaMurmurHash(concat(site, '\\0', visitor_id)) % length(?) + 1)))))";

/// Gives [`CONDITION`] its values, for the partition `index` of `count`, up to (epoch, offset) of its own events.
pub(super) fn bind(
    query: Query,
    set: &LinkSet,
    events: &[String],
    (index, count): (u32, u32),
    (epoch, offset): (u32, u64),
) -> Query {
    let query = query.bind(&set.site).bind(events).bind(count.max(1)).bind(index).bind(epoch).bind(offset);
    let query = query.bind(&set.site).bind(epoch).bind(offset);
    let query = query.bind(&set.site).bind(set.number).bind(index).bind(index);
    let query = query.bind(set.log_epoch).bind(&set.passed).bind(&set.passed);
    query.bind(&set.site).bind(set.log_epoch).bind(&set.passed).bind(&set.passed)
}
