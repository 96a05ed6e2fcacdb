//! The whole pipeline on one thread, from one seed: collectors' publish path and spill, log, aggregators' lanes, builds and
//! restores, warehouse writers and clocks. The code of the services runs as it is; what surrounds it is in memory and fails
//! on demand. After each run everything comes to rest, and the [`judge`] compares what is stored with the definition.
//!
//! ```text
//! clients --> collectors --> spill --> broker --> members of a group --> warehouse
//!    ^ retries    | restarts      | moods  | gaps, clocks   | zombies, crashes   | refused, half applied, unanswered
//! ```
//!
//! [`world`] holds all parts, [`schedule`] picks which of them takes the next step and which fault strikes, [`fate`] is the
//! one source of chance and time. Everything that is asynchronous is polled by hand, one operation of the warehouse at a
//! time, so that a crash or another writer can come between any two. A run is a function of its seed.
//!
//! [`Rule`](rules::Rule)s of the design can be left out, at the seams only; each of them then makes some seed fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // stops where it is wrong

pub mod broker;
pub mod client;
pub mod collector;
pub mod controls;
pub mod disk;
pub mod eraser;
pub mod fate;
pub mod group;
pub mod judge;
pub mod link;
pub mod linker;
pub mod model;
pub mod old_log;
pub mod partition_life;
pub mod plans;
pub mod rules;
pub mod schedule;
pub mod serving;
pub mod settle;
pub mod store;
pub mod weather;
pub mod world;
pub mod writes;

use fate::{Fate, Telling};
use rules::Rule;
use world::World;

/// What happened in a run: each kind of event or fault, and how often.
pub type Happened = std::collections::BTreeMap<&'static str, u64>;

/// Runs a seed; what is wrong afterwards, if anything is.
pub fn run(seed: u64, left_out: Option<Rule>, telling: Telling) -> Result<Happened, String> {
    let fate = Fate::new(seed, telling);
    let mut world = World::new(fate.clone(), left_out);
    let steps = world.weather.steps;
    for _ in 0..steps {
        schedule::step(&mut world);
    }
    let verdict = settle::settle(&mut world).and_then(|()| judge::judge(&mut world));
    let left_out = left_out.map(|rule| format!(" without {rule:?}")).unwrap_or_default();
    verdict.map_err(|problem| format!("seed {seed}{left_out}: {problem}"))?;
    Ok(fate.happened())
}

/// Adds up what happened in several runs.
pub fn add(all: &mut Happened, more: Happened) {
    more.into_iter().for_each(|(what, times)| *all.entry(what).or_default() += times);
}
