//! Seeds of the simulation: none fails, each says the same twice, each fault comes up, and without any rule of the design
//! some seed fails. `SEEDS=100000` runs more of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use simulation::fate::Telling;
use simulation::rules::Rule;
use simulation::{Happened, add, run};

/// Runs seeds on all cores until one fails: what failed, and what happened.
fn until_one_fails(seeds: u64, left_out: Option<Rule>) -> (Option<String>, Happened) {
    let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (failed, happened) = (Mutex::new(None), Mutex::new(Happened::new()));
    let work = || {
        while !over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            match run(seed, left_out, Telling::Silent) {
                Ok(more) => add(&mut happened.lock().unwrap(), more),
                Err(problem) => {
                    over.store(true, Ordering::Relaxed);
                    failed.lock().unwrap().get_or_insert(problem);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    (failed.into_inner().unwrap(), happened.into_inner().unwrap())
}

#[test]
fn whatever_fails_and_is_repeated_everything_acknowledged_is_stored_and_counted_once() {
    let seeds = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000);
    let (failed, happened) = until_one_fails(seeds, None);
    if let Some(problem) = failed {
        panic!("{problem}\nreplay it with: make simulate SEED=<the seed>");
    }
    let kinds = [
        "a build began",
        "a build began again",
        "a call to the log failed",
        "a call was sent again",
        "a clock stepped",
        "a collector began to spill",
        "a collector crashed",
        "a collector was stopped",
        "a control record was not acknowledged",
        "a copy was sent",
        "a log before had the same plan",
        "a member crashed",
        "a member went on without its partition",
        "a partition was given back",
        "a plan was applied",
        "a raw event was left out",
        "a read of the log failed",
        "a read of the warehouse failed",
        "a site was counted anew",
        "a spill was drained",
        "a set of links was not announced",
        "a visitor was erased",
        "an insert was applied in part",
        "an insert was not answered",
        "an insert was refused",
        "ids were joined",
        "the log forgot what was stored",
        "what was stored of an erased visitor was deleted",
    ];
    for kind in kinds {
        assert!(
            happened.get(kind).is_some_and(|times| *times > seeds / 20),
            "{kind}: {:?}",
            happened.get(kind)
        );
    }
}

#[test]
fn without_any_rule_of_the_design_some_seed_fails() {
    let needless: Vec<Rule> =
        Rule::ALL.into_iter().filter(|rule| until_one_fails(20_000, Some(*rule)).0.is_none()).collect();
    assert!(needless.is_empty(), "no seed fails without {needless:?}");
}

#[test]
fn a_seed_says_the_same_twice() {
    let told = |seed| {
        let kept = Arc::new(Mutex::new(Vec::new()));
        run(seed, None, Telling::Kept(Arc::clone(&kept))).unwrap();
        kept.lock().unwrap().clone()
    };
    for seed in 0..30 {
        assert_eq!(told(seed), told(seed), "seed {seed}");
    }
}
