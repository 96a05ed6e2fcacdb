//! Writers of control records: plans that come into force, imports that are complete, sites that are counted anew,
//! visitors who are erased. Each is written to every partition that it is for, again and again until the log took all
//! of it. Plans have one writer, imports and rebuilds have two: their records are under way at the same time, so that
//! partitions get them in different orders, and their clocks are apart.

use std::sync::Arc;

use aggregator::memory::MemoryStore;
use event_log::{Generations, Message, Publisher, partition_of};
use prost::Message as _;
use rungs_proto::v1::control::Action;
use rungs_proto::v1::record::Body;
use rungs_proto::v1::{Control, Erase, ImportCompleted, PlanApplied, Rebuild, Record};

use crate::broker::Broker;
use crate::fate::{Fate, poll};
use crate::linker;
use crate::plans;
use crate::rules::Rule;
use crate::weather::Weather;

/// The writer of plans, by its place; the next three are collectors, of which the last one erases visitors.
const PLANS: usize = 0;
const ERASURES: usize = 3;
/// The aggregator that joins ids.
const LINKS: usize = 4;
const WRITERS: usize = 5;
/// Visitors who are erased in a run, at most: what is left has to be worth counting.
const MAX_ERASED: usize = 2;
/// So far are the clocks of two writers apart, at most.
const APART_MS: i64 = 60_000;

/// All of them together.
pub struct Controls {
    fate: Fate,
    broker: Arc<Broker>,
    left_out: Option<Rule>,
    writers: [Writer; WRITERS],
    /// The number of the last plan.
    pub plan: u64,
    /// Under which it is announced.
    plan_generation: Option<u64>,
    /// Who was erased, or is about to be: (site, visitor).
    pub erased: Vec<(String, String)>,
    /// Nobody was told of the newest set of links.
    is_unannounced: bool,
}

/// A process that writes control records.
#[derive(Default)]
struct Writer {
    generations: Generations,
    skew_ms: i64,
    /// What the log has not taken, and its generation where that is settled.
    open: Option<(Action, Option<u64>)>,
}

impl Controls {
    /// No plan is in force yet.
    pub fn new(fate: Fate, broker: Arc<Broker>, left_out: Option<Rule>) -> Self {
        let mut writers: [Writer; WRITERS] = Default::default();
        for writer in writers.iter_mut().skip(1) {
            writer.skew_ms = fate.span_ms(2 * APART_MS) - APART_MS;
        }
        let (plan, plan_generation, erased, is_unannounced) = (0, None, Vec::new(), false);
        Self { fate, broker, left_out, writers, plan, plan_generation, erased, is_unannounced }
    }

    /// Whether the log took everything.
    pub fn is_at_rest(&self) -> bool {
        self.writers.iter().all(|writer| writer.open.is_none())
    }

    /// Puts the next plan in force.
    pub fn apply_plan(&mut self) {
        if self.writers[PLANS].open.is_none() {
            self.plan += 1;
            self.broker.keep_plan(self.plan, plans::text(self.plan));
            let generation = self.writers[PLANS].generations.next(self.fate.now_ms());
            self.plan_generation = (self.left_out != Some(Rule::OneGenerationAPlan)).then_some(generation);
            let applied = Action::PlanApplied(PlanApplied { number: self.plan });
            self.writers[PLANS].open = Some((applied, self.plan_generation));
            self.fate.note("a plan was applied");
        }
        self.offer(PLANS);
    }

    /// Has a site counted anew. A writer that is not answered says it again, or begins another one.
    pub fn rebuild(&mut self) {
        let at = 1 + self.fate.below(ERASURES as u64 - 1) as usize;
        if self.writers[at].open.is_none() {
            let site = (*self.fate.pick(&["s", "t"])).to_owned();
            let import = ImportCompleted { site: site.clone(), import_id: "i".into(), accepted_rows: 0 };
            // Of whichever site, and in force or not.
            let funnel = *self.fate.pick(&["", "first", "second", "third"]);
            let action = if self.fate.percent(50) {
                Action::ImportCompleted(import)
            } else {
                Action::Rebuild(Rebuild { site, funnel: funnel.to_owned() })
            };
            let settled = self.fate.percent(50).then(|| self.next_generation(at));
            self.writers[at].open = Some((action, settled));
            self.fate.note("a site was counted anew");
        }
        self.offer(at);
    }

    /// Erases a visitor; now and then one who is erased already.
    pub fn erase(&mut self) {
        if self.writers[ERASURES].open.is_none() {
            if self.erased.len() < MAX_ERASED {
                let site = (*self.fate.pick(&["s", "s", "t"])).to_owned();
                self.erased.push((site, format!("v{}", self.fate.below(5))));
            }
            let at = self.fate.below(self.erased.len() as u64) as usize;
            let (site, visitor) = self.erased[at].clone();
            let action = Action::Erase(Erase { site, visitors: vec![visitor] });
            self.writers[ERASURES].open = Some((action, Some(0)));
            self.fate.note("a visitor was erased");
        }
        self.offer(ERASURES);
    }

    /// Makes a set of links and has its site counted by it. Now and then the maker dies in between.
    pub fn link(&mut self, tables: &MemoryStore, weather: &Weather) {
        if self.writers[LINKS].open.is_none() {
            let now_ms = self.fate.now_ms() + self.writers[LINKS].skew_ms;
            let number = linker::make(&mut tables.tables(), weather, now_ms);
            let joined = tables.tables().links[&(linker::SITE.to_owned(), number)].1.len();
            self.fate.say(|| format!("a set of {joined} links is stored"));
            self.fate.note(if joined > 0 { "ids were joined" } else { "no ids were joined" });
            self.is_unannounced = self.fate.strikes(30);
            if self.is_unannounced {
                return self.fate.note("a set of links was not announced");
            }
            let rebuild = Rebuild { site: linker::SITE.to_owned(), funnel: String::new() };
            self.writers[LINKS].open = Some((Action::Rebuild(rebuild), Some(number)));
        }
        self.offer(LINKS);
    }

    /// Whether links have to be found anew before what they join can be judged: the newest set was not announced, or joined
    /// somebody who was erased meanwhile.
    pub fn must_link(&self) -> bool {
        self.is_unannounced || self.erased.iter().any(|(site, _)| site == linker::SITE)
    }

    /// Tells the plan in force again, as a process that starts does.
    pub fn announce_again(&mut self) {
        if self.writers[PLANS].open.is_none() && self.plan > 0 {
            let applied = PlanApplied { number: self.plan };
            self.writers[PLANS].open = Some((Action::PlanApplied(applied), self.plan_generation));
        }
        self.offer(PLANS);
    }

    /// Offers what is open to the log once more.
    pub fn go_on(&mut self) {
        (0..WRITERS).for_each(|at| self.offer(at));
    }

    fn next_generation(&self, at: usize) -> u64 {
        let writer = &self.writers[at];
        writer.generations.next(self.fate.now_ms() + writer.skew_ms)
    }

    fn offer(&mut self, at: usize) {
        let Some((action, generation)) = self.writers[at].open.clone() else { return };
        let generation = generation.unwrap_or_else(|| self.next_generation(at));
        self.fate
            .say(|| format!("control: {action:?} of generation {}", generation.cast_signed() - plans::T0));
        let control_of = action.clone();
        let control = Control { generation, action: Some(action) };
        let value: bytes::Bytes = Record { body: Some(Body::Control(control)) }.encode_to_vec().into();
        let message = |partition| Message { partition, value: value.clone() };
        let partitions = Publisher::partitions(self.broker.as_ref());
        let messages = match &control_of {
            Action::Erase(Erase { site, visitors }) => {
                vec![message(partition_of(site, &visitors[0], partitions))]
            }
            _ => (0..partitions).map(message).collect(),
        };
        let Ok(receipt) = self.broker.publish(messages) else { return };
        if matches!(poll(&mut (Box::pin(receipt) as _)), std::task::Poll::Ready(Ok(()))) {
            self.writers[at].open = None;
        } else {
            self.fate.note("a control record was not acknowledged");
        }
    }
}
