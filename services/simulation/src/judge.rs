//! What is said of a run once everything is at rest: no acknowledged event is missing, none counts twice, and the live
//! numbers, the open minute and every minute of history equal the definition, without holes.

use std::collections::{BTreeMap, BTreeSet};

use funnel::Counts;
use funnel::intake::visitor_hash;
use funnel::plan::{Funnel, Identity};
use funnel::windows::MINUTE_MS;
use rungs_proto::v1::record::Body;
use warehouse::rows::{COMPLETE, PROGRESS, ProgressRow, RollingRow};

use crate::client::{EventKey, key_of};
use crate::linker;
use crate::model::{Expected, Known, erased, in_force, known};
use crate::plans;
use crate::world::World;

/// Finds what is wrong.
pub fn judge(world: &mut World) -> Result<(), String> {
    if let Some(problem) = world.fate.wrong() {
        return Err(problem);
    }
    world.collectors.iter().try_for_each(|collector| collector.check_outcomes())?;
    let partitions: Vec<Vec<Known>> =
        (0..world.weather.partitions).map(|partition| known(&world.broker.everything(partition))).collect();
    check_raw(world, &partitions)?;
    check_erased(world, &partitions)?;
    check_generations(world, &partitions)?;
    for (partition, records) in (0..).zip(&partitions) {
        check_partition(world, partition, records, &partitions)
            .map_err(|problem| format!("partition {partition}: {problem}"))?;
    }
    Ok(())
}

/// Raw events are those of the log, each as its first copy, and hold whatever was acknowledged, but for erased visitors.
fn check_raw(world: &World, partitions: &[Vec<Known>]) -> Result<(), String> {
    let tables = world.tables.tables();
    let mut logged: BTreeMap<EventKey, u64> = BTreeMap::new();
    for record in partitions.iter().flatten() {
        if let Body::Event(event) = &record.body {
            logged.entry(key_of(event)).or_insert(record.offset);
        }
    }
    for key in &world.clients.acknowledged {
        if !logged.contains_key(key) {
            return Err(format!("{key:?} was acknowledged and is not in the log"));
        }
    }
    let erased: BTreeMap<_, _> = partitions.iter().flat_map(|records| erased(records)).collect();
    logged.retain(|(site, visitor, _), _| !erased.contains_key(&(site.as_str(), visitor.as_str())));
    for (key, offset) in &logged {
        match tables.events.get(key) {
            None => return Err(format!("{key:?}, at {offset} of the log, is not stored")),
            Some((_, stored, _)) if stored != offset => {
                return Err(format!("{key:?} is stored as of {stored}; its first copy is at {offset}"));
            }
            Some(_) => {}
        }
    }
    if tables.events.len() != logged.len() {
        return Err(format!("{} events are stored, {} were sent", tables.events.len(), logged.len()));
    }
    Ok(())
}

/// Of whoever was erased nothing is stored any more but that, as of the first record that says so.
fn check_erased(world: &World, partitions: &[Vec<Known>]) -> Result<(), String> {
    let tables = world.tables.tables();
    let erased: BTreeMap<_, _> = partitions.iter().flat_map(|records| erased(records)).collect();
    for ((site, visitor), (offset, _)) in &erased {
        let row = tables.erasures.get(&((*site).to_owned(), (*visitor).to_owned()));
        match row.map(|row| row.log_offset) {
            Some(stored) if stored == *offset => {}
            found => return Err(format!("{visitor} of {site} was erased at {offset}; {found:?} is stored")),
        }
        let hash = visitor_hash(visitor);
        if tables.journeys.values().any(|row| row.site == *site && row.visitor == hash) {
            return Err(format!("{visitor} of {site} was erased at {offset} and has a journey"));
        }
    }
    match tables.erasures.len() == erased.len() {
        true => Ok(()),
        false => {
            Err(format!("{} visitors are stored as erased, {} were", tables.erasures.len(), erased.len()))
        }
    }
}

/// All partitions end with the same plan, and with the same generation of each funnel, so that readers have one.
fn check_generations(world: &World, partitions: &[Vec<Known>]) -> Result<(), String> {
    let floor = world.weather.floor_without(world.left_out);
    let all: Vec<_> = partitions.iter().map(|records| in_force(records, floor)).collect();
    let generations =
        |at: usize| all[at].1.iter().map(|(key, began)| (key.clone(), began.0)).collect::<BTreeMap<_, _>>();
    for (at, (number, _)) in all.iter().enumerate() {
        if *number != world.controls.plan {
            return Err(format!("partition {at} has plan {number}, not {}", world.controls.plan));
        }
        if generations(at) != generations(0) {
            let (here, there) = (generations(at), generations(0));
            return Err(format!("no generation is in all partitions: {here:?} in {at}, {there:?} in 0"));
        }
    }
    Ok(())
}

fn check_partition(
    world: &mut World,
    partition: u32,
    records: &[Known],
    all: &[Vec<Known>],
) -> Result<(), String> {
    let (number, funnels) = in_force(records, world.weather.floor_without(world.left_out));
    let plan = plans::plan(number);
    for funnel in &plan.funnels {
        let (generation, cutoff) = funnels[&(funnel.site.clone(), funnel.id.clone())];
        let joins = funnel.identity == Identity::Links;
        let links = joins.then(|| linker::set_of(&world.tables.tables(), &funnel.site, generation)).flatten();
        let expected = Expected::new(all, partition, funnel, cutoff, links.as_ref());
        let check = check_progress(world, partition, funnel, generation, cutoff)
            .and_then(|()| check_live(world, partition, funnel, generation, &expected))
            .and_then(|()| check_history(world, partition, funnel, generation, &expected));
        check.map_err(|problem| format!("{} of generation {generation}: {problem}", funnel.id))?;
    }
    Ok(())
}

fn check_progress(
    world: &World,
    partition: u32,
    funnel: &Funnel,
    generation: u64,
    cutoff: u64,
) -> Result<(), String> {
    let tables = world.tables.tables();
    let mine = |row: &&ProgressRow| {
        (row.log_partition, row.kind.as_str()) == (partition, PROGRESS)
            && (&row.site, &row.funnel, row.generation) == (&funnel.site, &funnel.id, generation)
            && row.definition == plans::definition(funnel)
    };
    let row = tables.progress.values().find(mine).ok_or("it has no progress")?;
    match (row.state.as_str(), row.cutoff) {
        (COMPLETE, found) if found == cutoff => Ok(()),
        found => Err(format!("it is {found:?}; it must be complete with the cut-off {cutoff}")),
    }
}

fn check_live(
    world: &mut World,
    partition: u32,
    funnel: &Funnel,
    generation: u64,
    expected: &Expected,
) -> Result<(), String> {
    let wall_ms = world.fate.now_ms();
    let serving = world.group.owner(partition).and_then(|life| life.serving()).ok_or("nobody serves it")?;
    let same = |key: &warehouse::FunnelKey| (&key.site, &key.funnel) == (&funnel.site, &funnel.id);
    let lane = serving.lane.funnels_mut().iter_mut().find(|lane| same(&lane.key)).ok_or("it is not live")?;
    if lane.generation != generation {
        return Err(format!("generation {} is live", lane.generation));
    }
    let live = lane.open_counts(wall_ms).into_iter().map(|(_, value, counts)| (value, counts)).collect();
    let end_ms = (wall_ms / MINUTE_MS + 1) * MINUTE_MS;
    same_counts(&live, &expected.at(end_ms), "live")?;
    let tables = world.tables.tables();
    let open = minutes(tables.open.values(), partition, funnel, generation);
    same_counts(open.get(&end_ms).ok_or("it has no open minute")?, &expected.at(end_ms), "the open minute")
}

fn check_history(
    world: &World,
    partition: u32,
    funnel: &Funnel,
    generation: u64,
    expected: &Expected,
) -> Result<(), String> {
    let tables = world.tables.tables();
    let minutes = minutes(tables.rolling.values(), partition, funnel, generation);
    let ends: BTreeSet<i64> = minutes.keys().copied().collect();
    let first = expected.cutoff_clock_ms / MINUTE_MS * MINUTE_MS + MINUTE_MS;
    let last = (world.fate.now_ms() - 2_000) / MINUTE_MS * MINUTE_MS;
    let wanted = (0..).map(|minute| first + minute * MINUTE_MS).take_while(|end| *end <= last);
    for end in wanted.chain(ends).collect::<BTreeSet<i64>>() {
        let minute = (end - plans::T0) / MINUTE_MS;
        let found = minutes.get(&end).ok_or(format!("minute {minute} is missing"))?;
        same_counts(found, &expected.at(end), &format!("minute {minute}"))?;
    }
    Ok(())
}

/// The stored counts by minute end and breakdown value.
fn minutes<'a>(
    rows: impl Iterator<Item = &'a RollingRow>,
    partition: u32,
    funnel: &Funnel,
    generation: u64,
) -> BTreeMap<i64, BTreeMap<String, Counts>> {
    let definition = plans::definition(funnel);
    let mine = |row: &&RollingRow| {
        (row.log_partition, row.generation, row.definition) == (partition, generation, definition)
            && (&row.site, &row.funnel) == (&funnel.site, &funnel.id)
    };
    let rows: Vec<&RollingRow> = rows.filter(mine).collect();
    let mut latest: BTreeMap<u32, u64> = BTreeMap::new();
    for row in &rows {
        let version = latest.entry(row.minute).or_default();
        *version = row.version.max(*version);
    }
    let mut minutes: BTreeMap<i64, BTreeMap<String, Counts>> = BTreeMap::new();
    // As readers do: a value that was not written again counts nothing any more.
    for row in rows.into_iter().filter(|row| latest[&row.minute] == row.version) {
        minutes.entry(i64::from(row.minute) * 1_000).or_default().insert(row.value.clone(), counts_of(row));
    }
    minutes
}

fn counts_of(row: &RollingRow) -> Counts {
    let mut counts = Counts::new(row.steps.len(), row.windows.len());
    funnel::counts::from_sparse(&mut counts.seconds, &row.seconds_cells, &row.seconds_counts);
    funnel::counts::from_sparse(&mut counts.effort, &row.effort_cells, &row.effort_counts);
    counts.visitors.clone_from(&row.visitors);
    counts.offered.clone_from(&row.offered);
    counts.committed.clone_from(&row.committed);
    counts.skipped.clone_from(&row.skipped);
    counts.open.clone_from(&row.open);
    counts
}

fn same_counts(
    found: &BTreeMap<String, Counts>,
    expected: &BTreeMap<String, Counts>,
    place: &str,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let short = |counts: &BTreeMap<String, Counts>| {
        let one = |(value, counts): (&String, &Counts)| {
            format!("{value:?}: {:?} offered {:?} open {:?}", counts.visitors, counts.offered, counts.open)
        };
        counts.iter().map(one).collect::<Vec<_>>().join("; ")
    };
    Err(format!("{place} has {}; it must have {}", short(found), short(expected)))
}
