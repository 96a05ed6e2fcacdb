//! What deletes rows of erased visitors: a round of it, as the warehouse's own does by SQL. It deletes whatever is stored of
//! those whom no restore and no build under way can meet any more.

use std::collections::{BTreeMap, BTreeSet};

use aggregator::memory::Tables;
use event_log::partition_of;
use funnel::intake::visitor_hash;
use warehouse::erasures::ErasureRow;
use warehouse::rows::{BUILDING, PROGRESS, ProgressRow};

use crate::fate::Fate;
use crate::old_log;
use crate::world::World;

/// Deletes what is stored of erased visitors, some rows of it or all.
pub fn round(world: &World) {
    round_of(world, passed);
}

/// A round so much later that no build is waited for any more: a row may say for ever that one is under way, of a
/// funnel that a plan took away.
pub fn last_round(world: &World) {
    round_of(world, folded);
}

fn round_of(world: &World, passed: impl Fn(&Tables, u32) -> u64) {
    let mut tables = world.tables.tables();
    let epoch = world.weather.epoch;
    let passed: BTreeMap<u32, u64> =
        (0..world.weather.partitions).map(|partition| (partition, passed(&tables, partition))).collect();
    let is_due = |row: &&ErasureRow| {
        let partition = partition_of(&row.site, &row.visitor_id, world.weather.partitions);
        row.log_epoch < epoch || row.log_offset < passed[&partition]
    };
    let due: Vec<ErasureRow> = tables.erasures.values().filter(is_due).cloned().collect();
    remove(&mut tables, &due, &world.fate);
}

/// Nothing begins before this offset any more.
fn passed(tables: &Tables, partition: u32) -> u64 {
    let builds = progress(tables, partition).filter(|row| row.state == BUILDING);
    folded(tables, partition).min(builds.map(|row| row.cutoff).min().unwrap_or(u64::MAX))
}

/// Everything before this offset is stored.
pub fn folded(tables: &Tables, partition: u32) -> u64 {
    let own = progress(tables, partition).find(|row| row.funnel.is_empty());
    own.map_or(0, |row| row.next_offset)
}

fn progress(tables: &Tables, partition: u32) -> impl Iterator<Item = &ProgressRow> {
    let is_of_log = |row: &&ProgressRow| row.log_id != old_log::ID;
    let mine = move |row: &&ProgressRow| row.log_partition == partition && row.kind == PROGRESS;
    tables.progress.values().filter(is_of_log).filter(mine)
}

fn remove(tables: &mut Tables, due: &[ErasureRow], fate: &Fate) {
    let ids: BTreeSet<(&str, &str)> =
        due.iter().map(|row| (row.site.as_str(), row.visitor_id.as_str())).collect();
    let hashes: BTreeSet<(&str, u128)> =
        due.iter().map(|row| (row.site.as_str(), visitor_hash(&row.visitor_id))).collect();
    let before = tables.events.len() + tables.journeys.len();
    // A change of a table that was cut off goes on at the next round.
    let stays = || fate.strikes(20);
    tables.events.retain(|(site, visitor, _), _| !ids.contains(&(site, visitor)) || stays());
    tables.journeys.retain(|_, row| !hashes.contains(&(&row.site, row.visitor)) || stays());
    if tables.events.len() + tables.journeys.len() < before {
        fate.note("what was stored of an erased visitor was deleted");
        fate.say(|| format!("rows of {ids:?} are deleted"));
    }
}
