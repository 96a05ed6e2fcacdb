//! All parts of a run.

use std::sync::Arc;

use aggregator::counters::LaneCounters;
use aggregator::memory::MemoryStore;

use crate::broker::Broker;
use crate::client::Clients;
use crate::collector::Collector;
use crate::controls::Controls;
use crate::fate::Fate;
use crate::group::Group;
use crate::old_log;
use crate::partition_life::Surroundings;
use crate::rules::Rule;
use crate::weather::Weather;

/// A run's world.
pub struct World {
    pub fate: Fate,
    pub weather: Weather,
    pub left_out: Option<Rule>,
    pub broker: Arc<Broker>,
    pub clients: Clients,
    pub collectors: Vec<Collector>,
    pub controls: Controls,
    pub group: Group,
    pub tables: MemoryStore,
}

impl World {
    /// The beginning: a plan is being put in force, and all processes start.
    pub fn new(fate: Fate, left_out: Option<Rule>) -> Self {
        let weather = Weather::draw(&fate);
        fate.say(|| format!("{weather:?}, left out: {left_out:?}"));
        let broker = Broker::new(fate.clone(), weather.clone(), left_out);
        let tables = MemoryStore::default();
        let counters = LaneCounters::register(&runtime::Metrics::new().unwrap()).unwrap();
        let around = Surroundings {
            fate: fate.clone(),
            weather: weather.clone(),
            left_out,
            broker: Arc::clone(&broker),
            tables: tables.clone(),
            counters: counters.clone(),
        };
        let collector = |number| Collector::new(fate.clone(), number, &broker, &weather);
        let mut world = Self {
            clients: Clients::new(fate.clone(), &weather),
            collectors: (0..weather.collectors).map(collector).collect(),
            controls: Controls::new(fate.clone(), Arc::clone(&broker), left_out),
            group: Group::new(around),
            tables,
            left_out,
            broker,
            weather,
            fate,
        };
        world.controls.apply_plan();
        if world.weather.generation_floor > 0 {
            old_log::leave(&world.tables, world.weather.partitions, &counters);
            world.fate.note("a log before had the same plan");
        }
        world.group.assign();
        world
    }

    /// A call to some collector.
    pub fn call(&mut self) {
        let request = self.clients.next_call();
        let at = self.fate.below(self.collectors.len() as u64) as usize;
        if let Err(request) = self.collectors[at].call(request) {
            self.clients.answered(request, false);
        }
        self.take_answers();
    }

    /// A step of a collector's spill, with a call in the middle of it or without.
    pub fn attend(&mut self) {
        let meanwhile = self.fate.percent(20).then(|| self.clients.next_call());
        let at = self.fate.below(self.collectors.len() as u64) as usize;
        self.collectors[at].attend(meanwhile);
        self.take_answers();
    }

    /// A collector crashes, stops, or starts again.
    pub fn disturb_collector(&mut self) {
        let at = self.fate.below(self.collectors.len() as u64) as usize;
        let collector = &mut self.collectors[at];
        match self.fate.below(3) {
            0 => {
                let unanswered = collector.crash();
                unanswered.into_iter().for_each(|request| self.clients.answered(request, false));
            }
            1 => collector.stop(),
            _ => collector.restart(),
        }
        self.take_answers();
    }

    /// Ids are joined.
    pub fn link(&mut self) {
        self.controls.link(&self.tables, &self.weather);
    }

    /// Clients hear what the collectors answer.
    pub fn take_answers(&mut self) {
        for collector in &mut self.collectors {
            for (request, accepted) in collector.answers() {
                self.clients.answered(request, accepted);
            }
        }
    }
}
