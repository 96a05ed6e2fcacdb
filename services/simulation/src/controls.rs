//! Writers of control records: plans that come into force, imports that are complete, sites that are counted anew. Each is
//! written to every partition, again and again until the log took all of it, and one after the other.

use std::sync::Arc;

use event_log::{Generations, Message, Publisher};
use prost::Message as _;
use rungs_proto::v1::control::Action;
use rungs_proto::v1::record::Body;
use rungs_proto::v1::{Control, ImportCompleted, PlanApplied, Rebuild, Record};

use crate::broker::Broker;
use crate::fate::{Fate, poll};
use crate::plans;
use crate::rules::Rule;

/// All of them together.
pub struct Controls {
    fate: Fate,
    broker: Arc<Broker>,
    left_out: Option<Rule>,
    generations: Generations,
    /// The number of the last plan.
    pub plan: u64,
    /// Under which it is announced.
    plan_generation: Option<u64>,
    /// What the log has not taken, and its generation where that is settled.
    open: Option<(Action, Option<u64>)>,
}

impl Controls {
    /// No plan is in force yet.
    pub fn new(fate: Fate, broker: Arc<Broker>, left_out: Option<Rule>) -> Self {
        let generations = Generations::default();
        Self { fate, broker, left_out, generations, plan: 0, plan_generation: None, open: None }
    }

    /// Whether the log took everything.
    pub fn is_at_rest(&self) -> bool {
        self.open.is_none()
    }

    /// Puts the next plan in force.
    pub fn apply_plan(&mut self) {
        if self.is_at_rest() {
            self.plan += 1;
            self.broker.keep_plan(self.plan, plans::text(self.plan));
            let generation = self.generations.next(self.fate.now_ms());
            self.plan_generation = (self.left_out != Some(Rule::OneGenerationAPlan)).then_some(generation);
            self.open = Some((Action::PlanApplied(PlanApplied { number: self.plan }), self.plan_generation));
            self.fate.note("a plan was applied");
        }
        self.go_on();
    }

    /// Has a site counted anew.
    pub fn rebuild(&mut self) {
        if self.is_at_rest() {
            let site = (*self.fate.pick(&["s", "t"])).to_owned();
            let import = ImportCompleted { site: site.clone(), import_id: "i".into(), accepted_rows: 0 };
            let action = if self.fate.percent(50) {
                Action::ImportCompleted(import)
            } else {
                Action::Rebuild(Rebuild { site })
            };
            self.open = Some((action, None));
            self.fate.note("a site was counted anew");
        }
        self.go_on();
    }

    /// Tells the plan in force again, as a process that starts does.
    pub fn announce_again(&mut self) {
        if self.is_at_rest() && self.plan > 0 {
            let applied = PlanApplied { number: self.plan };
            self.open = Some((Action::PlanApplied(applied), self.plan_generation));
        }
        self.go_on();
    }

    /// Offers what is open to the log once more.
    pub fn go_on(&mut self) {
        let Some((action, generation)) = self.open.clone() else { return };
        let generation = generation.unwrap_or_else(|| self.generations.next(self.fate.now_ms()));
        self.fate.say(|| format!("control: {action:?} of generation {}", generation as i64 - plans::T0));
        let control = Control { generation, action: Some(action) };
        let value: bytes::Bytes = Record { body: Some(Body::Control(control)) }.encode_to_vec().into();
        let message = |partition| Message { partition, value: value.clone() };
        let messages = (0..Publisher::partitions(self.broker.as_ref())).map(message).collect();
        let Ok(receipt) = self.broker.publish(messages) else { return };
        if matches!(poll(&mut (Box::pin(receipt) as _)), std::task::Poll::Ready(Ok(()))) {
            self.open = None;
        } else {
            self.fate.note("a control record was not acknowledged");
        }
    }
}
