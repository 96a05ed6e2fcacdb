//! What must come out, by the definition: which events count in a generation, the counts at any minute end, and which
//! generation of which funnel a partition must have in the end. The counts themselves are [`funnel::model`]'s.

use std::collections::{BTreeMap, HashSet};

use event_log::LogRecord;
use funnel::fold::{FoldEvent, Spec};
use funnel::identity::{Joined, Whose};
use funnel::intake::visitor_hash;
use funnel::plan::{Funnel, Plan};
use funnel::{Counts, model};
use prost::Message;
use rungs_proto::v1::control::Action;
use rungs_proto::v1::record::Body;
use rungs_proto::v1::{Control, Event, Record};
use warehouse::links::LinkSet;

use crate::client::{POISON_MS, key_of};
use crate::plans::{self, CHANNELS, HORIZON_MS, MAX_TAIL_EVENTS};

/// A record of a partition.
pub struct Known {
    pub offset: u64,
    /// The partition's clock with this record.
    pub clock_ms: i64,
    pub body: Body,
}

/// Everything that was appended to a partition.
pub fn known(records: &[LogRecord]) -> Vec<Known> {
    let mut clock_ms = 0;
    let read = |record: &LogRecord| {
        clock_ms = record.appended_at_ms.max(clock_ms);
        let body = Record::decode(record.value.clone()).unwrap().body.unwrap();
        Known { offset: record.offset, clock_ms, body }
    };
    records.iter().map(read).collect()
}

/// Each funnel's (generation, first offset after the control record that began it), by (site, funnel).
pub type Begun = BTreeMap<(String, String), (u64, u64)>;

/// The plan in force at the end of a partition, and what was begun under it on a log with this floor of generations.
pub fn in_force(records: &[Known], floor: u64) -> (u64, Begun) {
    let (mut number, mut plan, mut funnels) = (0, Plan::default(), Begun::new());
    let mut rebuilt: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for Known { offset, body, .. } in records {
        let Body::Control(Control { generation, action: Some(action) }) = body else { continue };
        match action {
            Action::PlanApplied(applied) if applied.number >= number => {
                let (before, next) = (plan, plans::plan(applied.number));
                let same = |funnel: &Funnel| {
                    let old = before.funnel(&funnel.site, &funnel.id);
                    old.is_some_and(|old| plans::definition(old) == plans::definition(funnel))
                };
                let least = if floor == 0 { 0 } else { floor + applied.number };
                let stays = |key: &(String, String)| next.funnel(&key.0, &key.1).is_some_and(same);
                funnels.retain(|key, _| stays(key));
                for funnel in &next.funnels {
                    let of = |only| rebuilt.get(&(funnel.site.as_str(), only)).copied().unwrap_or(0);
                    let largest = of("").max(of(&funnel.id)).max(*generation).max(least);
                    let began = (largest, offset + 1);
                    funnels.entry((funnel.site.clone(), funnel.id.clone())).or_insert(began);
                }
                (number, plan) = (applied.number, next);
            }
            Action::PlanApplied(_) => {}
            Action::ImportCompleted(_) | Action::Rebuild(_) => {
                let (site, only) = match action {
                    Action::Rebuild(rebuild) => (rebuild.site.as_str(), rebuild.funnel.as_str()),
                    Action::ImportCompleted(import) => (import.site.as_str(), ""),
                    _ => continue,
                };
                let largest = rebuilt.entry((site, only)).or_default();
                *largest = (*largest).max(*generation);
                for ((of, id), known) in &mut funnels {
                    if of == site && (only.is_empty() || id == only) {
                        let of = |only| rebuilt.get(&(site, only)).copied().unwrap_or(0);
                        *known = (known.0.max(of("")).max(of(id)), offset + 1);
                    }
                }
            }
            Action::Erase(_) => {}
        }
    }
    (number, funnels)
}

/// Who was erased in a partition, (site, visitor): the offset of the first record that says so, and the clock there.
pub fn erased(records: &[Known]) -> BTreeMap<(&str, &str), (u64, i64)> {
    let mut erased = BTreeMap::new();
    for Known { offset, clock_ms, body } in records {
        let Body::Control(Control { action: Some(Action::Erase(erase)), .. }) = body else { continue };
        for visitor in &erase.visitors {
            erased.entry((erase.site.as_str(), visitor.as_str())).or_insert((*offset, *clock_ms));
        }
    }
    erased
}

/// A funnel's generation in a partition: what counts, and when.
pub struct Expected {
    spec: Spec,
    /// Offset, clock, and the event if it counts.
    records: Vec<(u64, i64, Option<FoldEvent>)>,
    /// From which record on visitors, as events name them, were never there: its offset and clock.
    erased: BTreeMap<u128, (u64, i64)>,
    cutoff: u64,
    pub cutoff_clock_ms: i64,
}

/// A set of links, whole.
pub type Linked = (LinkSet, Joined);

impl Expected {
    /// The generation of a partition that was built up to `cutoff`: all distinct events before it, then those that are not
    /// late. Where ids are joined, each counts for whom the links say: of ids of other partitions what was stored when the
    /// links were found, of those of this one what the build read, and from then on what needs no links.
    pub fn new(
        partitions: &[Vec<Known>],
        partition: u32,
        funnel: &Funnel,
        cutoff: u64,
        links: Option<&Linked>,
    ) -> Self {
        let known = &partitions[partition as usize];
        let erased_here = erased(known);
        let is_gone = |event: &Event| {
            let erased = erased_here.get(&(event.site.as_str(), event.visitor_id.as_str()));
            erased.is_some_and(|(offset, _)| *offset < cutoff)
        };
        let mut seen = HashSet::new();
        let mut record = |Known { offset, clock_ms, body }: &Known| {
            let Body::Event(event) = body else { return (*offset, *clock_ms, None) };
            let first = seen.insert(key_of(event));
            let horizon_start = clock_ms - HORIZON_MS;
            let ts = event.ts_ms.min(*clock_ms);
            let late = ts < horizon_start || event.own_ts_ms < horizon_start;
            let stored = *offset < cutoff && event.own_ts_ms != POISON_MS;
            let own = visitor_hash(&event.visitor_id);
            let visitor = match whose(links, event) {
                Whose::Own => Some(own),
                Whose::Person(person) if *offset < cutoff => {
                    (person.partition == partition && !is_gone(event)).then_some(person.visitor)
                }
                Whose::Person(person) => (person.visitor == own).then_some(own),
                Whose::Unknown => None,
            };
            let counts = first && (stored || !late) && event.site == funnel.site;
            let folded = visitor.filter(|_| counts).and_then(|visitor| folded(event, ts, funnel, visitor));
            (*offset, *clock_ms, folded)
        };
        let mut records: Vec<_> = known.iter().map(&mut record).collect();
        let before = records.iter().filter(|record| record.0 < cutoff);
        let cutoff_clock_ms = before.map(|record| record.1).max().unwrap_or(0);
        if let Some(linked) = links {
            // They are there from the build on, whenever that was.
            let foreign = foreign(partitions, partition, funnel, linked, cutoff_clock_ms);
            records.extend(foreign.into_iter().map(|event| (0, i64::MIN, Some(event))));
        }
        let erased = erased_here
            .into_iter()
            .filter(|((site, _), _)| *site == funnel.site)
            .map(|((_, visitor), place)| (visitor_hash(visitor), place))
            .collect();
        Self {
            spec: Spec::new(funnel, HORIZON_MS, MAX_TAIL_EVENTS),
            records,
            erased,
            cutoff,
            cutoff_clock_ms,
        }
    }

    /// Counts at a minute end, by breakdown value: the history of the build before the cut-off, else the state after all
    /// records appended before it.
    pub fn at(&self, end_ms: i64) -> BTreeMap<String, Counts> {
        let built = end_ms <= self.cutoff_clock_ms;
        let counts = |record: &&(u64, i64, Option<FoldEvent>)| {
            if built { record.0 < self.cutoff } else { record.1 < end_ms }
        };
        let was_erased = |event: &FoldEvent| {
            let erased = self.erased.get(&event.visitor);
            erased.is_some_and(
                |(offset, clock_ms)| if built { *offset < self.cutoff } else { *clock_ms < end_ms },
            )
        };
        let events = self.records.iter().filter(counts).filter_map(|record| record.2);
        let events: Vec<FoldEvent> = events.filter(|event| !was_erased(event)).collect();
        let name = |id: u16| id.checked_sub(1).map_or("", |at| CHANNELS[usize::from(at)]).to_owned();
        model::counts(&self.spec, &events, end_ms)
            .into_iter()
            .map(|(id, counts)| (name(id), counts))
            .collect()
    }
}

fn whose(links: Option<&Linked>, event: &Event) -> Whose {
    links.map_or(Whose::Own, |(_, joined)| joined.whose(visitor_hash(&event.visitor_id), &event.user_id))
}

/// Events of ids of other partitions that count for visitors of this one.
fn foreign(
    partitions: &[Vec<Known>],
    partition: u32,
    funnel: &Funnel,
    linked: &Linked,
    until_ms: i64,
) -> Vec<FoldEvent> {
    let mut all = Vec::new();
    for (home, records) in (0..).zip(partitions).filter(|(home, _)| *home != partition) {
        let passed = linked.0.passed[home as usize];
        let (gone, mut seen) = (erased(records), HashSet::new());
        for Known { clock_ms, body, .. } in records.iter().take_while(|record| record.offset < passed) {
            let Body::Event(event) = body else { continue };
            let gone = gone.get(&(event.site.as_str(), event.visitor_id.as_str()));
            let counts = seen.insert(key_of(event))
                && event.site == funnel.site
                && event.own_ts_ms != POISON_MS
                && gone.is_none_or(|(offset, _)| *offset >= passed);
            let Whose::Person(person) = whose(Some(linked), event) else { continue };
            if counts && person.partition == partition {
                let ts = event.ts_ms.min(*clock_ms).min(until_ms);
                all.extend(folded(event, ts, funnel, person.visitor));
            }
        }
    }
    all
}

/// An event as the definition takes it, if it matches.
fn folded(event: &Event, ts: i64, funnel: &Funnel, visitor: u128) -> Option<FoldEvent> {
    let step = funnel.steps.iter().position(|step| step.id == event.event);
    let offer = funnel.steps.iter().position(|step| step.id == "b").filter(|_| event.event == "o");
    let matches = step.map(|step| 1 << step).or(offer.map(|step| 1 << (step + 16)))?;
    let value = CHANNELS.iter().position(|channel| *channel == event.channel).unwrap() as u16 + 1;
    Some(FoldEvent { visitor, message: 0, ts, own_ts: event.own_ts_ms, matches, values: [value, 0, 0, 0] })
}
