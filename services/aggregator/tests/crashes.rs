//! A partition driven from a seed through random logs, flushes cut off between any two writes, restarts, other writers
//! that go on while a restore reads, plan changes and rebuilds. Afterwards the live numbers and every minute of history
//! equal the definition over the accepted events. Left out one by one, the rules of delivery make some seed fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use aggregator::build::{Builder, Built, follow};
use aggregator::counters::LaneCounters;
use aggregator::funnel_lane::{FoldSettings, PartitionId};
use aggregator::lane::{BuildOrder, Effects, FlushLimits, Lane};
use aggregator::memory::MemoryStore;
use aggregator::restore::restore;
use aggregator::store::Write;
use event_log::memory::MemoryLog;
use event_log::{ManualClock, Message, Publisher, Source};
use funnel::fold::{FoldEvent, Spec};
use funnel::plan::Plan;
use funnel::windows::MINUTE_MS;
use funnel::{Counts, model};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rungs_proto::v1::control::Action;
use rungs_proto::v1::record::Body;
use rungs_proto::v1::{Control, Event, ImportCompleted, PlanApplied, Record};
use warehouse::rows::{MARKER, PROGRESS, RollingRow};

const T0: i64 = 1_700_000_000_000 / MINUTE_MS * MINUTE_MS;
const HORIZON_MS: i64 = 10 * MINUTE_MS;

/// Plans differ in the second funnel only: absent, by one definition, by another.
fn plan_text(number: u64) -> String {
    let second = match number % 3 {
        0 => String::new(),
        1 => funnel_text("second", "20m", &["b", "c"]),
        _ => funnel_text("second", "8m", &["b", "c"]),
    };
    format!(
        "[[sites]]\nid = \"s\"\nwrite_keys = [\"wk\"]\norigins = [\"*\"]\n{}{second}",
        funnel_text("first", "15m", &["a", "b", "c"])
    )
}

fn funnel_text(id: &str, window: &str, events: &[&str]) -> String {
    let mut text = format!(
        "[[funnels]]\nsite = \"s\"\nid = \"{id}\"\nconversion_window = \"{window}\"\n\
         rolling_windows = [\"5m\", \"30m\"]\nbreakdowns = [\"channel\"]\n"
    );
    for event in events {
        text += &format!("[[funnels.steps]]\nid = \"{event}\"\nevent = \"{event}\"\n");
    }
    text
}

/// A rule of delivery, left out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum LeftOut {
    Nothing,
    /// Journeys go out without the marker before them.
    Marker,
    /// The marker goes out before the events and minutes that it vouches for.
    MarkerLast,
    /// A restart begins with a clock of its own rather than progress's.
    ProgressClock,
    /// A restore reads the marker before progress and journeys.
    ReadOrder,
    /// A restart begins a record later than progress says.
    ProgressOffset,
}

struct World {
    random: StdRng,
    left_out: LeftOut,
    clock: Arc<ManualClock>,
    log: Arc<MemoryLog>,
    store: MemoryStore,
    settings: FoldSettings,
    partition: PartitionId,
    runtime: tokio::runtime::Runtime,
    counters: LaneCounters,
    lane: Lane,
    writes: VecDeque<Write>,
    orders: Vec<BuildOrder>,
    plan: u64,
    generation: u64,
    now_ms: i64,
    /// (funnel, generation) -> the cut-off of the latest build.
    cutoffs: BTreeMap<(String, u64), usize>,
    /// What was published: (append time, event or control).
    truth: Vec<(i64, Body)>,
}

impl World {
    fn new(seed: u64, left_out: LeftOut) -> Self {
        let clock = Arc::new(ManualClock::at(T0));
        let log = Arc::new(MemoryLog::new(1, Arc::clone(&clock) as Arc<dyn event_log::Clock>));
        let settings = FoldSettings {
            horizon_ms: HORIZON_MS,
            max_tail_events: 1_000,
            minute_history_ms: 7 * 86_400_000,
            hour_history_ms: 70 * 86_400_000,
        };
        let partition = PartitionId { log_id: log.id().0, epoch: 1, partition: 0, partitions: 1 };
        let counters = LaneCounters::register(&runtime::Metrics::new().unwrap()).unwrap();
        let lane = Lane::new(partition.clone(), settings.clone(), limits(), counters.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut world = Self {
            random: StdRng::seed_from_u64(seed),
            left_out,
            clock,
            log,
            store: MemoryStore::default(),
            settings,
            partition,
            runtime,
            counters,
            lane,
            writes: VecDeque::new(),
            orders: Vec::new(),
            plan: 0,
            generation: T0 as u64,
            now_ms: T0,
            cutoffs: BTreeMap::new(),
            truth: Vec::new(),
        };
        world.apply_plan();
        world
    }

    fn publish(&mut self, body: Body) {
        let value = Record { body: Some(body.clone()) }.encode_to_vec().into();
        let receipt = self.log.publish(vec![Message { partition: 0, value }]).unwrap();
        self.runtime.block_on(receipt).unwrap();
        self.truth.push((self.now_ms, body));
    }

    fn advance(&mut self, ms: i64) {
        self.now_ms += ms;
        self.clock.set(self.now_ms);
    }

    fn apply_plan(&mut self) {
        self.plan += 1;
        self.control(Action::PlanApplied(PlanApplied { number: self.plan }));
    }

    fn control(&mut self, action: Action) {
        self.generation += 1;
        self.publish(Body::Control(Control { generation: self.generation, action: Some(action) }));
    }

    fn event(&mut self) {
        let gap = *[0, 0, 700, 5_000, 45_000, 400_000].choose(&mut self.random).unwrap();
        let gap = if gap == 0 { 0 } else { self.random.random_range(0..gap) };
        self.advance(gap);
        let repeated = self.random.random_bool(0.15).then(|| self.some_past_event()).flatten();
        let age = *[0, 0, 1_000, 60_000, 500_000, 900_000].choose(&mut self.random).unwrap();
        let ts = self.now_ms - if age == 0 { 0 } else { self.random.random_range(0..age) };
        let event = repeated.unwrap_or_else(|| Event {
            site: "s".into(),
            visitor_id: format!("v{}", self.random.random_range(0..4)),
            message_id: format!("m{}", self.truth.len()),
            event: (*["a", "b", "c", "d"].choose(&mut self.random).unwrap()).into(),
            ts_ms: ts,
            own_ts_ms: ts,
            received_at_ms: self.now_ms,
            channel: (*["email", "ad"].choose(&mut self.random).unwrap()).into(),
            ..Event::default()
        });
        self.publish(Body::Event(event));
    }

    fn some_past_event(&mut self) -> Option<Event> {
        let back = self.random.random_range(0..12);
        match self.truth.iter().rev().nth(back) {
            Some((_, Body::Event(event))) => Some(event.clone()),
            _ => None,
        }
    }

    fn read(&mut self, most: usize) {
        let records = self.log.read(0, self.lane.next_offset(), 1 << 20).unwrap();
        let mut effects = Effects::default();
        for record in records.iter().take(most) {
            let text = |number| Some(plan_text(number));
            self.lane.record(record.offset, record.appended_at_ms, &record.value, &text, &mut effects);
        }
        self.keep(effects);
    }

    fn keep(&mut self, effects: Effects) {
        self.writes.extend(effects.writes);
        self.orders.extend(effects.builds);
    }

    fn tick(&mut self) {
        let at_end = self.lane.next_offset() == self.truth.len() as u64;
        let mut effects = Effects::default();
        self.lane.tick(self.now_ms, at_end, &mut effects);
        self.keep(effects);
    }

    fn flush(&mut self) {
        let mut effects = Effects::default();
        self.lane.flush(self.now_ms, &mut effects);
        if self.left_out == LeftOut::MarkerLast {
            // The marker claims events and minutes that are stored only after it.
            effects.writes.sort_by_key(|write| !is_marker(write));
        }
        self.keep(effects);
    }

    fn store_some(&mut self, most: usize) {
        for _ in 0..most {
            let Some(write) = self.writes.pop_front() else { return };
            if !(self.left_out == LeftOut::Marker && is_marker(&write)) {
                self.store.tables().apply(&write);
            }
        }
    }

    /// Carries out an order: everything before it is stored first, as the barrier makes sure.
    fn build(&mut self) {
        if self.orders.is_empty() {
            return;
        }
        let order = self.orders.remove(0);
        self.store_some(usize::MAX);
        if !self.lane.wants(&order) {
            return;
        }
        let builder = Builder {
            store: self.store.clone(),
            source: Arc::clone(&self.log) as Arc<dyn Source>,
            partition: self.partition.clone(),
            settings: self.settings.clone(),
            runtime: self.runtime.handle().clone(),
            wanted: Arc::new(|| true),
        };
        let Built { mut lane, order } = builder.build(order).unwrap();
        self.cutoffs.insert((order.funnel.id.clone(), order.generation), order.cutoff as usize);
        // The log went on meanwhile, or the lane is behind the build.
        while self.lane.next_offset() < lane.joins_at {
            self.read(1);
        }
        if !self.lane.wants(&order) {
            return;
        }
        let mut rows = Vec::new();
        let mut clock_ms = lane.fold().clock_ms();
        let mut records = self.log.read(0, lane.joins_at, 1 << 20).unwrap();
        records.retain(|record| record.offset < self.lane.next_offset());
        follow(&mut lane, &records, &mut clock_ms, &self.partition, &mut rows);
        let mut effects = Effects::default();
        effects.writes.push(Write::Rolling(rows));
        self.lane.adopt(lane, self.now_ms, &mut effects);
        self.keep(effects);
    }

    /// Ends the process after some of the waiting writes; the new one restores. If `others_go_on`, the old one lives on
    /// for a while and its writes arrive between the reads of the restore.
    fn crash(&mut self, others_go_on: bool) {
        let stored = self.random.random_range(0..=self.writes.len());
        self.store_some(stored);
        self.orders.clear();
        let rest: Vec<Write> = std::mem::take(&mut self.writes).into();
        if others_go_on {
            let late = std::sync::Mutex::new(VecDeque::from(rest));
            let pace = self.random.random_range(1..4);
            let left_out = self.left_out;
            self.store.before_each_read(Some(Arc::new(move |tables| {
                for _ in 0..pace {
                    let Some(write) = late.lock().unwrap().pop_front() else { return };
                    if !(left_out == LeftOut::Marker && is_marker(&write)) {
                        tables.apply(&write);
                    }
                }
            })));
        }
        let early_markers = self.markers();
        if std::env::var_os("SEED").is_some() {
            println!("  crash, others go on: {others_go_on}");
        }
        let restored = self.runtime.block_on(restore(&self.store, &self.partition, &self.settings)).unwrap();
        self.store.before_each_read(None);
        let mut restored = restored;
        if self.left_out == LeftOut::ReadOrder {
            for lane in &mut restored.funnels {
                let key = (lane.key.funnel.clone(), lane.key.definition, lane.generation);
                lane.set_marker(
                    early_markers.get(&key).copied().filter(|at| *at > lane.joins_at).unwrap_or(0),
                );
            }
        }
        if self.left_out == LeftOut::ProgressOffset {
            restored.next_offset += 1;
            restored.funnels.iter_mut().for_each(|lane| lane.joins_at += 1);
        }
        let clock_ms = restored.clock_ms;
        self.lane = Lane::new(self.partition.clone(), self.settings.clone(), limits(), self.counters.clone());
        let mut effects = Effects::default();
        self.lane.resume(
            restored.in_force,
            restored.next_offset,
            clock_ms,
            restored.funnels,
            restored.unfinished,
            &mut effects,
        );
        self.keep(effects);
    }

    fn markers(&self) -> BTreeMap<(String, u64, u64), u64> {
        let tables = self.store.tables();
        let markers = tables.progress.values().filter(|row| row.kind == MARKER);
        markers.map(|row| ((row.funnel.clone(), row.definition, row.generation), row.next_offset)).collect()
    }

    /// Makes stored progress carry another clock, as a restart that took its own would have it.
    fn bend_progress(&mut self) {
        if self.left_out == LeftOut::ProgressClock {
            let mut tables = self.store.tables();
            for row in tables.progress.values_mut().filter(|row| row.kind == PROGRESS) {
                row.clock_ms = row.clock_ms.min(T0);
            }
        }
    }

    fn step(&mut self) {
        let action = self.random.random_range(0..100);
        if std::env::var_os("SEED").is_some() {
            let (next, end, waiting) = (self.lane.next_offset(), self.truth.len(), self.writes.len());
            println!("now {} action {action}: lane at {next} of {end}, {waiting} writes wait", self.now_ms);
        }
        match action {
            0..45 => self.event(),
            45..62 => {
                let most = self.random.random_range(1..6);
                self.read(most);
            }
            62..70 => self.tick(),
            70..76 => self.flush(),
            76..86 => {
                let most = self.random.random_range(1..6);
                self.store_some(most);
            }
            86..90 => self.build(),
            90..93 => {
                let gap = self.random.random_range(0..200_000);
                self.advance(gap);
            }
            93..98 => {
                let others_go_on = self.random.random_bool(0.4);
                self.bend_progress();
                self.crash(others_go_on);
            }
            98 => self.apply_plan(),
            _ => self.control(Action::ImportCompleted(ImportCompleted {
                site: "s".into(),
                import_id: "i".into(),
                accepted_rows: 0,
            })),
        }
    }

    /// Lets everything come to rest.
    fn settle(&mut self) {
        loop {
            self.read(usize::MAX);
            if self.orders.is_empty() {
                break;
            }
            self.build();
        }
        self.advance(3 * MINUTE_MS);
        self.tick();
        self.flush();
        self.store_some(usize::MAX);
    }
}

fn is_marker(write: &Write) -> bool {
    matches!(write, Write::Progress(rows) if rows.iter().any(|row| row.kind == MARKER))
}

fn limits() -> FlushLimits {
    FlushLimits {
        events_interval_ms: 500,
        events_batch_rows: 4,
        journeys_interval_ms: 10_000,
        journeys_batch_rows: 1,
    }
}

/// The definition's view of a funnel: which records count in the generation that began with `cutoff`.
struct Expected {
    spec: Spec,
    /// By offset: append time, and the event if it matches and counts.
    records: Vec<(i64, Option<FoldEvent>)>,
    cutoff: usize,
    cutoff_clock: i64,
}

impl Expected {
    fn new(truth: &[(i64, Body)], steps: &[&str], spec: Spec, cutoff: usize) -> Self {
        let mut seen = HashSet::new();
        let record = |(offset, (clock, body)): (usize, &(i64, Body))| {
            let Body::Event(event) = body else { return (*clock, None) };
            let first = seen.insert((event.visitor_id.clone(), event.message_id.clone()));
            let late = event.ts_ms < clock - HORIZON_MS;
            let step = steps.iter().position(|step| *step == event.event);
            let counts = first && (offset < cutoff || !late);
            let value = if event.channel == "email" { 1 } else { 2 };
            let event = step.filter(|_| counts).map(|step| FoldEvent {
                visitor: event.visitor_id[1..].parse().unwrap(),
                message: offset as u64,
                ts: event.ts_ms,
                own_ts: event.own_ts_ms,
                matches: 1 << step,
                values: [value, 0, 0, 0],
            });
            (*clock, event)
        };
        let records: Vec<_> = truth.iter().enumerate().map(record).collect();
        let cutoff_clock = records[..cutoff].iter().map(|record| record.0).max().unwrap_or(0);
        Self { spec, records, cutoff, cutoff_clock }
    }

    /// Counts at a minute end: history of the build before the cut-off, else the state after all records appended
    /// before it.
    fn at(&self, end_ms: i64) -> BTreeMap<u16, Counts> {
        let known = if end_ms <= self.cutoff_clock { self.cutoff } else { self.records.len() };
        let before = |record: &&(i64, Option<FoldEvent>)| end_ms <= self.cutoff_clock || record.0 < end_ms;
        let events: Vec<FoldEvent> =
            self.records[..known].iter().filter(before).filter_map(|record| record.1).collect();
        model::counts(&self.spec, &events, end_ms)
    }
}

fn verify(world: &mut World) -> Result<(), String> {
    let plan = Plan::parse("plan", &plan_text(world.lane.in_force().number)).unwrap();
    if world.lane.in_force().number != world.plan {
        return Err(format!("plan {} is in force, not {}", world.lane.in_force().number, world.plan));
    }
    let (tables, now_ms) = (world.store.tables().clone(), world.now_ms);
    for funnel in &plan.funnels {
        let lane = world.lane.funnels_mut().iter_mut().find(|lane| lane.key.funnel == funnel.id);
        let lane = lane.ok_or(format!("funnel {} is not live", funnel.id))?;
        let complete = tables.progress.values().find(|row| {
            row.kind == PROGRESS
                && row.funnel == funnel.id
                && row.definition == lane.key.definition
                && row.generation == lane.generation
                && row.state == "complete"
        });
        complete.ok_or(format!("funnel {} is not complete", funnel.id))?;
        let steps: Vec<&str> = funnel.steps.iter().map(|step| step.id.as_str()).collect();
        let spec = Spec::new(funnel, HORIZON_MS, 1_000);
        let rows: Vec<&RollingRow> = tables
            .rolling
            .values()
            .filter(|row| {
                row.funnel == funnel.id
                    && row.definition == lane.key.definition
                    && row.generation == lane.generation
            })
            .collect();
        let cutoff = world.cutoffs[&(funnel.id.clone(), lane.generation)];
        let expected = Expected::new(&world.truth, &steps, spec, cutoff);
        let end_ms = (now_ms / MINUTE_MS + 1) * MINUTE_MS;
        let live: BTreeMap<String, Counts> =
            lane.open_counts(now_ms).into_iter().map(|(_, value, counts)| (value, counts)).collect();
        same(&live, &named(expected.at(end_ms)), &format!("{} live", funnel.id))?;
        check_history(&rows, &expected, now_ms, &funnel.id)?;
    }
    Ok(())
}

fn named(counts: BTreeMap<u16, Counts>) -> BTreeMap<String, Counts> {
    let name = |id| ["", "email", "ad"][usize::from(id)].to_owned();
    counts.into_iter().map(|(id, counts)| (name(id), counts)).collect()
}

fn same(
    found: &BTreeMap<String, Counts>,
    expected: &BTreeMap<String, Counts>,
    place: &str,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let short = |counts: &BTreeMap<String, Counts>| {
        counts
            .iter()
            .map(|(value, c)| format!("{value:?}: {:?} open {:?}", c.visitors, c.open))
            .collect::<Vec<_>>()
            .join("; ")
    };
    Err(format!("{place}: found {} expected {}", short(found), short(expected)))
}

fn check_history(rows: &[&RollingRow], expected: &Expected, now_ms: i64, funnel: &str) -> Result<(), String> {
    let mut minutes: BTreeMap<i64, BTreeMap<String, Counts>> = BTreeMap::new();
    for row in rows {
        minutes.entry(i64::from(row.minute) * 1_000).or_default().insert(row.value.clone(), counts_of(row));
    }
    let ends: BTreeSet<i64> = minutes.keys().copied().collect();
    let first = expected.cutoff_clock / MINUTE_MS * MINUTE_MS + MINUTE_MS;
    let last = (now_ms - 2_000) / MINUTE_MS * MINUTE_MS;
    let wanted = (0..).map(|n| first + n * MINUTE_MS).take_while(|end| *end <= last);
    for end in wanted.chain(ends) {
        let found = minutes.get(&end).ok_or(format!("{funnel} has no minute {end}"))?;
        same(
            found,
            &named(expected.at(end)),
            &format!("{funnel} minute {end} (cutoff clock {})", expected.cutoff_clock),
        )?;
    }
    Ok(())
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

fn run(seed: u64, left_out: LeftOut) -> Result<(), String> {
    let mut world = World::new(seed, left_out);
    let steps = world.random.random_range(20..160);
    for _ in 0..steps {
        world.step();
    }
    world.settle();
    if std::env::var_os("SEED").is_some() {
        for (offset, (at, body)) in world.truth.iter().enumerate() {
            match body {
                Body::Event(e) => {
                    println!("{offset} at {at}: {} {} {} ts {}", e.visitor_id, e.event, e.message_id, e.ts_ms)
                }
                Body::Control(control) => println!("{offset} at {at}: {control:?}"),
            }
        }
        println!("cutoffs {:?}", world.cutoffs);
    }
    verify(&mut world).map_err(|problem| format!("seed {seed}, left out {left_out:?}: {problem}"))
}

#[test]
fn numbers_and_history_equal_the_definition_whatever_is_cut_off() {
    let seeds = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000u64);
    for seed in 0..seeds {
        run(seed, LeftOut::Nothing).unwrap_or_else(|problem| panic!("{problem}"));
    }
}

/// `SEED=305 cargo test -p aggregator --test crashes one_seed -- --nocapture` shows a run step by step.
#[test]
fn one_seed() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|text| text.parse().ok()) {
        run(seed, LeftOut::Nothing).unwrap_or_else(|problem| panic!("{problem}"));
    }
}

#[test]
fn each_rule_is_needed() {
    for rule in [
        LeftOut::Marker,
        LeftOut::MarkerLast,
        LeftOut::ProgressClock,
        LeftOut::ReadOrder,
        LeftOut::ProgressOffset,
    ] {
        let failing = (0..6_000).find(|seed| run(*seed, rule).is_err());
        println!("{rule:?}: {failing:?}");
        assert!(failing.is_some(), "no seed fails without {rule:?}");
    }
}
