//! The services as they run in production, each a process of its own on a real Kafka and a ClickHouse server, while parts
//! of it are killed, frozen, added and removed: nothing that was acknowledged is lost, nothing is counted twice, and
//! every number and every minute of history is the definition's ([`judge`]).
//!
//! The tests run one after the other; each prints how long its faults lasted. `make faults` runs the full size:
//! `RUNGS_FAULT_EVENTS=1000000` events, `RUNGS_FAULT_ROUNDS=10` rounds of kills on `RUNGS_FAULT_BROKERS=3` brokers,
//! `RUNGS_FAULT_SECONDS=60` of outage, all faults with the state of `RUNGS_FAULT_VISITORS=1000000` visitors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../program/mod.rs"]
mod program;

mod anew;
mod arriving;
mod cluster;
mod drained;
mod foreign;
mod frozen;
mod judge;
mod killed;
mod load;
mod part;
mod plans;
mod replicas;
mod secured;
mod topic;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SHOP: &str = include_str!("../../../../examples/shop/tracking-plan.toml");

/// Held by the test that runs.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    // A test that failed is no reason to skip the others.
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number from the environment.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}

/// How long an outage lasts.
fn outage() -> Duration {
    Duration::from_secs(number("RUNGS_FAULT_SECONDS", 20))
}

/// A seed, printed so that a run can be followed.
fn seed() -> u64 {
    let seed = std::env::var("RUNGS_FAULT_SEED").ok().map_or_else(rand::random, |text| text.parse().unwrap());
    println!("  seed {seed}");
    seed
}
