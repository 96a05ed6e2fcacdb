//! Numbers for streams: all clients of the same funnel, window and breakdown share one look a second at the newest
//! numbers, which are those that requests for `live` get. A group begins with its first client and ends with its last.
//!
//! Bounded by [`MAX_CLIENTS`]; a group's latest event is all that is kept, so a slow client misses events, never memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use funnel::Plan;
use runtime::{Shutdown, Tasks};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::answer::Answer;
use crate::api_error::ApiError;
use crate::metrics::ConsoleMetrics;
use crate::routes::funnel_of;
use crate::source::{NumberSource, Wanted};

/// Clients of all streams together, at most.
pub const MAX_CLIENTS: usize = 1_000;
/// How often a group's numbers are read.
const POLL: Duration = Duration::from_secs(1);

/// What a client is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The numbers: JSON of an [`Answer`].
    Live(Arc<str>),
    /// They cannot be read: JSON of an [`ApiError`].
    Problem(Arc<str>),
}

/// Shares reads between streams; clones share the groups.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    source: Arc<dyn NumberSource>,
    plan: watch::Receiver<Option<Arc<Plan>>>,
    tasks: Tasks,
    shutdown: Shutdown,
    metrics: ConsoleMetrics,
    groups: Mutex<HashMap<Key, Group>>,
}

/// What a group reads: site, funnel, window, breakdown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    site: String,
    funnel: String,
    window: String,
    breakdown: Option<String>,
}

#[derive(Clone)]
struct Group {
    events: Arc<watch::Sender<Option<Event>>>,
    as_of_ms: Arc<AtomicI64>,
}

/// One client's place in a group; leaving is dropping it.
pub(crate) struct Subscription {
    pub(crate) events: watch::Receiver<Option<Event>>,
    as_of_ms: Arc<AtomicI64>,
    metrics: ConsoleMetrics,
}

impl Subscription {
    /// The time of the group's latest numbers, even if they did not change; 0 before any.
    pub(crate) fn as_of_ms(&self) -> i64 {
        self.as_of_ms.load(Ordering::Relaxed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.metrics.streams.dec();
    }
}

impl Hub {
    pub(crate) fn new(
        source: Arc<dyn NumberSource>,
        plan: watch::Receiver<Option<Arc<Plan>>>,
        tasks: Tasks,
        shutdown: Shutdown,
        metrics: ConsoleMetrics,
    ) -> Self {
        Self(Arc::new(Shared { source, plan, tasks, shutdown, metrics, groups: Mutex::default() }))
    }

    pub(crate) fn shutdown(&self) -> Shutdown {
        self.0.shutdown.clone()
    }

    /// Joins the group of these numbers.
    pub(crate) fn subscribe(&self, wanted: &Wanted) -> Result<Subscription, ApiError> {
        let key = Key {
            site: wanted.funnel.site.clone(),
            funnel: wanted.funnel.id.clone(),
            window: wanted.window.label.clone(),
            breakdown: wanted.breakdown.clone(),
        };
        let mut groups = self.0.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let clients: usize = groups.values().map(|group| group.events.receiver_count()).sum();
        if clients >= MAX_CLIENTS {
            return Err(ApiError::TooManyStreams { limit: MAX_CLIENTS });
        }
        let group = groups.entry(key.clone()).or_insert_with(|| self.start(key));
        self.0.metrics.streams.inc();
        Ok(Subscription {
            events: group.events.subscribe(),
            as_of_ms: group.as_of_ms.clone(),
            metrics: self.0.metrics.clone(),
        })
    }

    fn start(&self, key: Key) -> Group {
        let group = Group { events: Arc::new(watch::Sender::new(None)), as_of_ms: Arc::default() };
        let (hub, own) = (self.clone(), group.clone());
        drop(self.0.tasks.spawn("console stream", async move {
            tokio::select! {
                () = hub.poll(&key, &own) => {}
                () = hub.0.shutdown.requested() => {}
            }
        }));
        group
    }

    /// Reads once a second until nobody listens.
    async fn poll(&self, key: &Key, group: &Group) {
        let mut latest = None;
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.is_deserted(key, group) {
                return;
            }
            self.0.metrics.polls.inc();
            self.tell(group, &mut latest, self.read(key).await);
        }
    }

    fn tell(&self, group: &Group, latest: &mut Option<Answer>, read: Result<Answer, ApiError>) {
        match read {
            Ok(answer) => {
                group.as_of_ms.store(answer.as_of.unwrap_or(0), Ordering::Relaxed);
                let is_new = !latest.as_ref().is_some_and(|latest| latest.same_numbers(&answer));
                let text = serde_json::to_string(&answer).unwrap_or_default();
                // Unchanged numbers are kept too, for a client that joins: it must not be shown an old time.
                group.events.send_if_modified(|current| {
                    *current = Some(Event::Live(text.into()));
                    is_new
                });
                *latest = Some(answer);
            }
            Err(error) => {
                *latest = None;
                let event = Event::Problem(error.body().to_string().into());
                group.events.send_if_modified(|current| {
                    let is_new = current.as_ref() != Some(&event);
                    *current = Some(event);
                    is_new
                });
            }
        }
    }

    async fn read(&self, key: &Key) -> Result<Answer, ApiError> {
        let plan = self.0.plan.borrow().clone();
        let funnel = funnel_of(plan.as_deref(), &key.site, &key.funnel)?;
        let window = funnel.rolling_windows.iter().find(|window| window.label == key.window).cloned();
        let window = window.ok_or_else(|| ApiError::UnknownWindow {
            asked: key.window.clone(),
            windows: funnel.rolling_windows.iter().map(|window| window.label.clone()).collect(),
        })?;
        let wanted = Wanted { funnel, window, breakdown: key.breakdown.clone() };
        Ok(Answer::live(&wanted, &self.0.source.live(&wanted).await?))
    }

    /// Removes the group if nobody listens; joining takes the same lock, so no client is lost between.
    fn is_deserted(&self, key: &Key, group: &Group) -> bool {
        let mut groups = self.0.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let deserted = group.events.receiver_count() == 0;
        if deserted {
            groups.remove(key);
        }
        deserted
    }
}
