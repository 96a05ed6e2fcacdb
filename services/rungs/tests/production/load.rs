//! Clients that send events whatever happens, and remember what was acknowledged: what was not is sent again with the
//! same message ids, some of what was too.
//!
//! A client has visitors of its own and one request at a time, so that the order of each visitor's events is known.
//! Message ids are `client-number`; a client's numbers are acknowledged in their order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runtime::now_ms;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::cluster::LIMIT;
use crate::program::sending::{Event, Form, acknowledged};

const KEY: &str = "wk_shop_demo";
const EVENTS: [&str; 7] =
    ["catalog", "product_view", "add_to_cart", "cart", "shipping_details", "payment_details", "purchase"];
const CHANNELS: [&str; 4] = ["email", "organic", "social", "podcast"];
const HOUR_MS: i64 = 3_600_000;
/// A request without an answer for so long is sent again.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
/// So many requests of acknowledged events are sent once more.
const SHARE_SENT_TWICE: f64 = 0.05;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) clients: u64,
    pub(crate) visitors_of_a_client: u32,
    /// Events of a request: fewer than this.
    pub(crate) batch: usize,
    pub(crate) pause: Duration,
    /// Events of a client; it ends after them.
    pub(crate) events_of_a_client: usize,
}

impl Pace {
    /// Some hundred events a second until the end is asked for.
    pub(crate) const STEADY: Self = Self {
        clients: 4,
        visitors_of_a_client: 100,
        batch: 12,
        pause: Duration::from_millis(25),
        events_of_a_client: usize::MAX,
    };
}

/// Events of a request of [`visitors`].
const LOADED_AT_ONCE: usize = 5_000;
/// Its requests at the same time.
const LOADERS: usize = 4;

/// Sends an event of each of so many visitors, as fast as the collector takes them.
pub(crate) fn visitors(collector: &str, count: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (collector, http) = (format!("http://{collector}"), reqwest::Client::new());
    runtime.block_on(async {
        let load = |loader: usize| {
            let (collector, http) = (collector.clone(), http.clone());
            async move {
                for first in (loader * LOADED_AT_ONCE..count).step_by(LOADERS * LOADED_AT_ONCE) {
                    let events: Vec<Event> = (first..count.min(first + LOADED_AT_ONCE)).map(loaded).collect();
                    let request = || Form::GzippedNdjson.request(&http, &collector, KEY, &events);
                    while acknowledged(request()).await != Some(events.len() as u64) {
                        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                    }
                }
            }
        };
        futures_util::future::join_all((0..LOADERS).map(load)).await;
    });
}

/// The event of one of [`visitors`]; its id is none of a client's.
fn loaded(number: usize) -> Event {
    Event {
        visitor: format!("loaded-{number}"),
        event: EVENTS[number % 2].to_owned(),
        id: format!("loaded{number}"),
        at_ms: Some((now_ms() - 1_000 - number as i64 % HOUR_MS) / 1_000 * 1_000),
        channel: CHANNELS[number % CHANNELS.len()].to_owned(),
    }
}

/// What a client knows.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Acknowledged events, in the order of their numbers.
    pub(crate) acknowledged: Mutex<Vec<Event>>,
    /// Requests that were not answered with 200.
    failures: AtomicU64,
    slowest_ms: AtomicU64,
}

/// The running clients.
pub(crate) struct Load {
    ledgers: Vec<Arc<Ledger>>,
    clients: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    runtime: Runtime,
}

impl Load {
    /// Begins to send to a collector at `host:port`.
    pub(crate) fn start(collector: &str, pace: Pace, seed: u64) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let ledgers: Vec<Arc<Ledger>> = (0..pace.clients).map(|_| Arc::default()).collect();
        let clients = (0..).zip(&ledgers).map(|(number, ledger)| {
            let client = Client {
                number,
                collector: format!("http://{collector}"),
                http: reqwest::Client::new(),
                pace,
                ledger: Arc::clone(ledger),
                stop: Arc::clone(&stop),
                random: StdRng::seed_from_u64(seed.wrapping_add(number)),
            };
            runtime.spawn(client.run())
        });
        Self { clients: clients.collect(), ledgers, stop, runtime }
    }

    /// How many events each client has acknowledged.
    pub(crate) fn counts(&self) -> Vec<usize> {
        self.ledgers.iter().map(|ledger| ledger.acknowledged.lock().unwrap().len()).collect()
    }

    /// How many events are acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.counts().iter().sum()
    }

    /// Waits until so many more are acknowledged.
    pub(crate) fn until_more(&self, count: usize) {
        let (before, began) = (self.acknowledged(), Instant::now());
        while self.acknowledged() < before + count {
            assert!(began.elapsed() < LIMIT, "nothing is acknowledged any more");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Requests since the last call that were not answered with 200, and the longest time to an answer.
    pub(crate) fn trouble(&self) -> (u64, Duration) {
        let failures = self.ledgers.iter().map(|ledger| ledger.failures.swap(0, Ordering::Relaxed)).sum();
        let slowest = self.ledgers.iter().map(|ledger| ledger.slowest_ms.swap(0, Ordering::Relaxed)).max();
        (failures, Duration::from_millis(slowest.unwrap_or(0)))
    }

    /// Lets every client end its request, however often it takes; all that was sent is acknowledged then.
    pub(crate) fn stop(self) -> Vec<Vec<Event>> {
        self.stop.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// As [`Load::stop`], after the last event of the pace.
    pub(crate) fn finish(self) -> Vec<Vec<Event>> {
        self.runtime.block_on(async {
            for client in self.clients {
                tokio::time::timeout(LIMIT * 5, client)
                    .await
                    .expect("the clients come to their end")
                    .unwrap();
            }
        });
        self.ledgers.iter().map(|ledger| std::mem::take(&mut *ledger.acknowledged.lock().unwrap())).collect()
    }
}

struct Client {
    number: u64,
    collector: String,
    http: reqwest::Client,
    pace: Pace,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    random: StdRng,
}

impl Client {
    async fn run(mut self) {
        let mut sent = 0;
        while sent < self.pace.events_of_a_client && !self.stop.load(Ordering::Relaxed) {
            let count = self.random.random_range(1..self.pace.batch).min(self.pace.events_of_a_client - sent);
            let events = self.events(sent, count);
            sent += count;
            while !self.send(&events).await {
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
            self.ledger.acknowledged.lock().unwrap().extend(events.iter().cloned());
            if self.random.random_bool(SHARE_SENT_TWICE) {
                self.send(&events).await;
            }
            tokio::time::sleep(self.pace.pause).await;
        }
    }

    /// Events of the last three hours, on whole seconds: equal times happen.
    fn events(&mut self, first: usize, count: usize) -> Vec<Event> {
        let (now, client) = (now_ms(), self.number);
        let event = |number: usize| Event {
            visitor: format!(
                "visitor-{client}-{}",
                self.random.random_range(0..self.pace.visitors_of_a_client)
            ),
            event: EVENTS[self.random.random_range(0..EVENTS.len())].to_owned(),
            id: format!("{client}-{number}"),
            at_ms: Some((now - self.random.random_range(1_000..3 * HOUR_MS)) / 1_000 * 1_000),
            channel: CHANNELS[self.random.random_range(0..CHANNELS.len())].to_owned(),
        };
        (first..first + count).map(event).collect()
    }

    /// Sends a request; whether all of it was acknowledged.
    async fn send(&mut self, events: &[Event]) -> bool {
        let forms = [Form::Batch, Form::Array, Form::Ndjson, Form::GzippedNdjson];
        let form = forms[self.random.random_range(0..forms.len())];
        let request = form.request(&self.http, &self.collector, KEY, events).timeout(REQUEST_LIMIT);
        let began = Instant::now();
        let accepted = acknowledged(request).await;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        self.ledger.slowest_ms.fetch_max(took, Ordering::Relaxed);
        if accepted.is_none() {
            self.ledger.failures.fetch_add(1, Ordering::Relaxed);
        }
        assert!(accepted.is_none_or(|accepted| accepted == events.len() as u64), "some were rejected");
        accepted.is_some()
    }
}
