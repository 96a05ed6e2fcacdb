//! The one source of chance and of time in a run, and the account of what happened. Clones share it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use event_log::Clock;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Happened;

/// What becomes of the steps that are told.
#[derive(Debug, Clone, Default)]
pub enum Telling {
    /// Nothing.
    #[default]
    Silent,
    /// They are printed.
    Aloud,
    /// They are kept.
    Kept(Arc<Mutex<Vec<String>>>),
}

/// Chance, time and trace.
#[derive(Clone)]
pub struct Fate {
    random: Arc<Mutex<StdRng>>,
    now_ms: Arc<AtomicI64>,
    telling: Telling,
    happened: Arc<Mutex<Happened>>,
    calm: Arc<AtomicBool>,
    wrong: Arc<Mutex<Option<String>>>,
}

impl Fate {
    /// The beginning of a run.
    pub fn new(seed: u64, telling: Telling) -> Self {
        let random = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let now_ms = Arc::new(AtomicI64::new(crate::plans::T0));
        let (happened, calm, wrong) = Default::default();
        Self { random, now_ms, telling, happened, calm, wrong }
    }

    /// A number below `limit` (above 0).
    pub fn below(&self, limit: u64) -> u64 {
        self.random.lock().unwrap().random_range(0..limit)
    }

    /// A time span below `limit` milliseconds; 0 for 0.
    pub fn span_ms(&self, limit: i64) -> i64 {
        if limit == 0 { 0 } else { self.random.lock().unwrap().random_range(0..limit) }
    }

    /// Whether something of this probability comes true.
    pub fn percent(&self, percent: u64) -> bool {
        percent > 0 && self.below(100) < percent
    }

    /// Whether a fault of this probability strikes; none does once everything comes to rest.
    pub fn strikes(&self, percent: u64) -> bool {
        !self.calm.load(Ordering::Relaxed) && self.percent(percent)
    }

    /// Lets no fault strike any more.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Says that something went wrong that must not; the first thing counts.
    pub fn fail(&self, problem: String) {
        self.say(|| format!("WRONG: {problem}"));
        self.wrong.lock().unwrap().get_or_insert(problem);
    }

    /// What went wrong.
    pub fn wrong(&self) -> Option<String> {
        self.wrong.lock().unwrap().clone()
    }

    /// One of several.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// True time, UTC milliseconds. No part of the pipeline sees it without its own error.
    pub fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Lets time pass.
    pub fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Tells a step.
    pub fn say(&self, step: impl FnOnce() -> String) {
        match &self.telling {
            Telling::Silent => {}
            Telling::Aloud => {
                println!("{:>8.3}s  {}", (self.now_ms() - crate::plans::T0) as f64 / 1_000.0, step())
            }
            Telling::Kept(kept) => kept.lock().unwrap().push(step()),
        }
    }

    /// Counts something that happened.
    pub fn note(&self, what: &'static str) {
        *self.happened.lock().unwrap().entry(what).or_default() += 1;
    }

    /// All that was counted.
    pub fn happened(&self) -> Happened {
        self.happened.lock().unwrap().clone()
    }
}

impl Clock for Fate {
    fn now_ms(&self) -> i64 {
        Self::now_ms(self)
    }
}

/// A future that is polled by hand.
pub type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls a task once.
pub fn poll<T>(task: &mut Task<T>) -> Poll<T> {
    task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Ends with the next poll: what follows is a step of its own.
pub async fn turn() {
    let mut waited = false;
    std::future::poll_fn(
        move |_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}
