//! A collector: hands calls to its spill (or to the local log) as the service does, answers them when they are durable,
//! crashes and comes back with its disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use collector::publish::publish;
use collector::{Metrics, Undecided};
use event_log::memory::MemoryLog;
use event_log::spill::{Attendant, Spill};
use event_log::{PublishError, Publisher};

use crate::broker::Broker;
use crate::client::Request;
use crate::disk::{Disk, Interruption};
use crate::fate::{Fate, Task, poll};
use crate::link::Link;
use crate::weather::{LogKind, Weather};

/// A process with its disk.
pub struct Collector {
    fate: Fate,
    name: String,
    broker: Arc<Broker>,
    disk: Arc<MemoryLog>,
    pub link: Option<Link>,
    life: Option<Life>,
    calls: Arc<Mutex<Vec<Call>>>,
    interruption: Interruption,
    metrics: Arc<Metrics>,
    registry: runtime::Metrics,
    handed: u64,
}

struct Life {
    log: Arc<dyn Publisher>,
    spilling: Option<Spilling>,
    alive: Arc<AtomicBool>,
}

/// The spill, and its keeper's steps.
type Spilling = (Arc<Spill<Link, Disk>>, Attendant<Link, Disk>);

struct Call {
    request: Request,
    /// The answer, where the first poll brought it.
    answer: Option<Result<u64, PublishError>>,
    task: Task<Result<u64, PublishError>>,
}

impl Collector {
    /// One that runs, with an empty disk.
    pub fn new(fate: Fate, number: usize, broker: &Arc<Broker>, weather: &Weather) -> Self {
        let interruption = Interruption::default();
        let link = (weather.log == LogKind::Kafka)
            .then(|| Link::new(fate.clone(), Arc::clone(broker), Arc::clone(&interruption)));
        let registry = runtime::Metrics::new().unwrap();
        let mut collector = Self {
            name: format!("collector {number}"),
            broker: Arc::clone(broker),
            disk: Arc::new(MemoryLog::bounded(weather.partitions, 4_000, Arc::new(fate.clone()))),
            link,
            life: None,
            calls: Arc::default(),
            interruption,
            metrics: Arc::new(Metrics::register(&registry).unwrap()),
            registry,
            handed: 0,
            fate,
        };
        collector.start();
        collector
    }

    fn start(&mut self) {
        let alive = Arc::new(AtomicBool::new(true));
        let life = match &self.link {
            None => Life { log: Arc::clone(&self.broker) as Arc<dyn Publisher>, spilling: None, alive },
            Some(link) => {
                let disk = Disk {
                    log: Arc::clone(&self.disk),
                    alive: Arc::clone(&alive),
                    interruption: Arc::clone(&self.interruption),
                };
                let (spill, attendant) =
                    Spill::unattended(link.clone(), disk, Arc::new(self.fate.clone())).unwrap();
                let spill = Arc::new(spill);
                Life {
                    log: Arc::clone(&spill) as Arc<dyn Publisher>,
                    spilling: Some((spill, attendant)),
                    alive,
                }
            }
        };
        self.life = Some(life);
    }

    /// Takes a call; gives it back where no process listens.
    pub fn call(&mut self, request: Request) -> Result<(), Request> {
        let Some(life) = &self.life else { return Err(request) };
        self.fate.say(|| format!("{}: is called with {}", self.name, request.names()));
        self.handed += request.0.len() as u64;
        begin(request, &life.log, &self.metrics, &self.calls);
        Ok(())
    }

    /// One step of the spill's keeper; a call may come in the middle of it.
    pub fn attend(&mut self, meanwhile: Option<Request>) {
        let Some(Life { log, spilling: Some((spill, attendant)), .. }) = &mut self.life else {
            if let Some(request) = meanwhile {
                self.calls.lock().unwrap().push(Call::refused(request));
            }
            return;
        };
        let (log, metrics, calls) = (Arc::clone(log), Arc::clone(&self.metrics), Arc::clone(&self.calls));
        if let Some(request) = meanwhile {
            self.handed += request.0.len() as u64;
            let happens = move || begin(request, &log, &metrics, &calls);
            *self.interruption.lock().unwrap() = Some(Box::new(happens));
        }
        let link = self.link.as_ref().unwrap();
        link.set_draining(spill.is_spilling());
        // Nothing takes time here: now and then everything that waits is slow.
        let slow_limit = if self.fate.strikes(20) { Duration::ZERO } else { Duration::MAX };
        let (was, next) = (spill.is_spilling(), attendant.step(slow_limit));
        link.set_draining(false);
        self.fate
            .say(|| format!("{}: its spill has {} records, then {next:?}", self.name, spill.depth_records()));
        match (was, spill.is_spilling()) {
            (false, true) => self.fate.note("a collector began to spill"),
            (true, false) => self.fate.note("a spill was drained"),
            _ => {}
        }
        // What did not come in the middle comes now.
        crate::disk::interrupt(&self.interruption);
    }

    /// The calls that were answered.
    pub fn answers(&mut self) -> Vec<(Request, bool)> {
        let (mut answered, mut open) = (Vec::new(), Vec::new());
        for mut call in std::mem::take(&mut *self.calls.lock().unwrap()) {
            let answer = match call.answer.take() {
                Some(answer) => Poll::Ready(answer),
                None => poll(&mut call.task),
            };
            match answer {
                Poll::Ready(answer) => {
                    self.fate
                        .say(|| format!("{}: answers {} with {answer:?}", self.name, call.request.names()));
                    answered.push((call.request, answer.is_ok()));
                }
                Poll::Pending => open.push(call),
            }
        }
        self.calls.lock().unwrap().extend(open);
        answered
    }

    /// Ends the process; the clients of open calls get no answer.
    pub fn crash(&mut self) -> Vec<Request> {
        let Some(life) = self.life.take() else { return Vec::new() };
        self.fate.say(|| format!("{}: crashes", self.name));
        self.fate.note("a collector crashed");
        life.alive.store(false, Ordering::Relaxed);
        if let Some(link) = &self.link {
            link.break_off();
        }
        std::mem::take(&mut *self.calls.lock().unwrap()).into_iter().map(|call| call.request).collect()
    }

    /// Ends the process in order; what is on its way is stored first.
    pub fn stop(&mut self) {
        let Some(life) = self.life.take() else { return };
        self.fate.say(|| format!("{}: stops", self.name));
        self.fate.note("a collector was stopped");
        if let Some((spill, _)) = &life.spilling {
            spill.close(Duration::ZERO);
        }
    }

    /// Starts the process, if it does not run.
    pub fn restart(&mut self) {
        if self.life.is_none() {
            self.fate.say(|| format!("{}: starts", self.name));
            self.start();
        }
    }

    /// Whether nothing is open and nothing spilled.
    pub fn is_at_rest(&self) -> bool {
        let spilling = self.life.as_ref().and_then(|life| life.spilling.as_ref());
        self.calls.lock().unwrap().is_empty() && spilling.is_none_or(|(spill, _)| !spill.is_spilling())
    }

    /// Every event that was handed over ended once, by the collector's own account.
    pub fn check_outcomes(&self) -> Result<(), String> {
        let text = String::from_utf8(self.registry.render().unwrap()).unwrap();
        let value =
            |line: &str| line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0.0_f64);
        let sum =
            |name: &str| text.lines().filter(|line| line.starts_with(name)).map(value).sum::<f64>() as u64;
        let (ended, lost) = (sum("rungs_collector_events_total"), sum("rungs_collector_lost_events_total"));
        if (ended, lost) == (self.handed, 0) {
            return Ok(());
        }
        Err(format!("{}: of {} events {ended} ended, {lost} were lost", self.name, self.handed))
    }
}

impl Call {
    fn refused(request: Request) -> Self {
        Self { request, answer: Some(Err(PublishError::Closed)), task: Box::pin(std::future::pending()) }
    }
}

fn begin(request: Request, log: &Arc<dyn Publisher>, metrics: &Arc<Metrics>, calls: &Mutex<Vec<Call>>) {
    let (log, metrics) = (Arc::clone(log), Arc::clone(metrics));
    let (messages, events) = (request.messages(log.partitions()), request.0.len());
    let published = async move { publish(log.as_ref(), messages, Undecided::new(&metrics, events)).await };
    let mut task: Task<_> = Box::pin(published);
    let answer = match poll(&mut task) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    };
    calls.lock().unwrap().push(Call { request, answer, task });
}
