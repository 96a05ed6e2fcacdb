//! What plan checks cost, to a few nanoseconds an event: a collector a plan within this process, on a log that takes
//! everything at once, and the CPU time of their workers in short turns, so that whatever else the machine does meets all
//! plans alike. Requests are written many at a time and their connections are few: what is left is the way from a
//! request's bytes to its records and its answer, little else.
//!
//! Each plan has as many workers as there are cores, each of them one connection, and only one plan's are busy at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use event_log::{Message, PublishError, Publisher, Receipt};
use runtime::settings::{CollectorSettings, LogSettings};
use runtime::{Shutdown, now_ms};

use crate::BenchError;
use crate::collector::{PlanInForce, bind, in_force};
use crate::process::cpu_of_threads;
use crate::table::quantile;
use crate::template::{Form, Requests};

/// A plan's turn.
const SLICE: Duration = Duration::from_millis(50);
/// Turns of each plan that are not counted.
const WARM_UP: usize = 4;
/// Within this time after its last answer a worker sleeps, and the kernel has booked its CPU time.
const BOOKED_WITHIN: Duration = Duration::from_millis(1);
/// Requests of a single event that are written at once; those of a batch go one by one.
const SINGLES_AT_ONCE: usize = 128;
/// As far as the kernel tells the name of a worker's thread.
const WORKERS: &str = "actix-server wo";

/// What an event costs under each plan.
#[derive(Debug)]
pub(super) struct Costs {
    /// Of each turn, by plan: CPU nanoseconds an event.
    turns: Vec<Vec<f64>>,
}

impl Costs {
    /// Runs the plans in turn, `slices` times each.
    pub(super) fn measure(plans: &[&str], form: &Form, slices: usize) -> Result<Self, BenchError> {
        let servers: Vec<Server> = plans.iter().map(|plan| Server::start(plan)).collect::<Result<_, _>>()?;
        let mut lanes: Vec<Vec<Lane>> =
            servers.iter().map(|server| Lane::of_all_workers(server, form)).collect::<Result<_, _>>()?;
        let mut turns = vec![Vec::new(); plans.len()];
        for slice in 0..slices + WARM_UP {
            for place in 0..lanes.len() {
                // Who goes first changes.
                let plan = (place + slice) % lanes.len();
                let (Some(lanes), Some(turns)) = (lanes.get_mut(plan), turns.get_mut(plan)) else { continue };
                let ns = turn(lanes)?;
                if slice >= WARM_UP {
                    turns.push(ns);
                }
            }
        }
        Ok(Self { turns })
    }

    /// The middle of a plan's turns.
    pub(super) fn ns(&self, plan: usize) -> f64 {
        self.turns.get(plan).map(|turns| quantile(turns, 0.5)).unwrap_or_default()
    }

    /// How much more an event costs under one plan than under another: each turn is compared with the other plan's of the
    /// same round. The middle, and how far it may be from what more turns would come to (two standard errors).
    pub(super) fn dearer_ns(&self, plan: usize, than: usize) -> (f64, f64) {
        let (Some(plan), Some(than)) = (self.turns.get(plan), self.turns.get(than)) else {
            return (0.0, 0.0);
        };
        let differences: Vec<f64> = plan.iter().zip(than).map(|(plan, than)| plan - than).collect();
        let rounds = differences.len().max(1) as f64;
        // Of a normal distribution the quartiles are 1.35 standard deviations apart, and a middle errs by 1.25 of a mean's.
        let spread = quantile(&differences, 0.75) - quantile(&differences, 0.25);
        (quantile(&differences, 0.5), 2.0 * 1.25 * spread / 1.35 / rounds.sqrt())
    }
}

/// CPU nanoseconds of the workers for an event of this turn.
fn turn(lanes: &mut [Lane]) -> Result<f64, BenchError> {
    let before = workers_cpu()?;
    let until = Instant::now() + SLICE;
    let events: Result<Vec<u64>, BenchError> = std::thread::scope(|scope| {
        let lanes: Vec<_> = lanes.iter_mut().map(|lane| scope.spawn(|| lane.send_until(until))).collect();
        let ended = |lane: std::thread::ScopedJoinHandle<'_, _>| {
            lane.join().map_err(|_| BenchError::other("a thread of the generator panicked"))?
        };
        lanes.into_iter().map(ended).collect()
    });
    std::thread::sleep(BOOKED_WITHIN);
    let cpu = workers_cpu()?.saturating_sub(before);
    Ok(cpu.as_nanos() as f64 / events?.iter().sum::<u64>().max(1) as f64)
}

/// CPU time so far of all workers in this process.
fn workers_cpu() -> Result<Duration, BenchError> {
    Ok(cpu_of_threads(std::process::id(), WORKERS)?)
}

/// A collector that runs in this process until it is dropped.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
}

impl Server {
    fn start(plan: &str) -> Result<Self, BenchError> {
        let plan = in_force(plan)?;
        let (shutdown, (started, address)) = (Shutdown::new(), mpsc::channel());
        let serving = shutdown.clone();
        std::thread::spawn(move || {
            if let Err(error) = serve(plan, &serving, &started) {
                drop(started.send(Err(error)));
            }
        });
        let address = address.recv().map_err(|_| BenchError::other("the collector ended"))??;
        Ok(Self { address, shutdown })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

fn serve(
    plan: PlanInForce,
    shutdown: &Shutdown,
    started: &mpsc::Sender<Result<SocketAddr, BenchError>>,
) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let settings = CollectorSettings {
            listen: ([127, 0, 0, 1], 0).into(),
            workers: workers(),
            ..CollectorSettings::default()
        };
        let bound = bind(settings, &plan, Arc::new(Discarding), shutdown)?;
        drop(started.send(Ok(bound.address())));
        bound.serve().await.map_err(BenchError::other)
    })
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A log that stores nothing and says at once that it did.
struct Discarding;

impl Publisher for Discarding {
    fn partitions(&self) -> u32 {
        LogSettings::default().partitions
    }

    fn publish(&self, messages: Vec<Message>) -> Result<Receipt, PublishError> {
        drop(messages);
        let (stored, receipt) = Receipt::pending();
        drop(stored.send(Ok(())));
        Ok(receipt)
    }
}

/// A connection on which some requests are written at once, and the next ones when all are answered.
struct Lane {
    stream: TcpStream,
    requests: Requests,
    at_once: usize,
    events: u64,
    sent: Vec<u8>,
    answers: Vec<u8>,
}

impl Lane {
    /// One for each worker: the server deals connections out in turn.
    fn of_all_workers(server: &Server, form: &Form) -> Result<Vec<Self>, BenchError> {
        (0..workers()).map(|lane| Self::open(server, form, lane as u32)).collect()
    }

    fn open(server: &Server, form: &Form, lane: u32) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(server.address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            requests: Requests::new(form, lane, 30)?,
            at_once: if form.events == 1 { SINGLES_AT_ONCE } else { 1 },
            events: form.events as u64,
            sent: Vec::new(),
            answers: Vec::new(),
        })
    }

    /// How many events were taken until then.
    fn send_until(&mut self, until: Instant) -> Result<u64, BenchError> {
        let mut events = 0;
        while Instant::now() < until {
            self.sent.clear();
            for _ in 0..self.at_once {
                self.sent.extend_from_slice(self.requests.next(now_ms()));
            }
            self.stream.write_all(&self.sent)?;
            self.read_answers()?;
            events += self.at_once as u64 * self.events;
        }
        Ok(events)
    }

    fn read_answers(&mut self) -> Result<(), BenchError> {
        let (mut answered, mut seen) = (0, 0);
        self.answers.clear();
        let mut chunk = [0; 16 << 10];
        while answered < self.at_once {
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(BenchError::other("the collector closed the connection"));
            }
            self.answers.extend_from_slice(chunk.get(..read).unwrap_or_default());
            while let Some(length) = success(self.answers.get(seen..).unwrap_or_default(), self.events)? {
                seen += length;
                answered += 1;
            }
        }
        Ok(())
    }
}

/// The length of the first answer, once all of it is there.
fn success(bytes: &[u8], events: u64) -> Result<Option<usize>, BenchError> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut headers);
    let head = answer.parse(bytes).map_err(|error| BenchError::other(format!("no HTTP answer: {error}")))?;
    let httparse::Status::Complete(head) = head else { return Ok(None) };
    let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok()).unwrap_or(0);
    let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
    let (status, body) = (answer.code.unwrap_or(0), String::from_utf8_lossy(body));
    match status {
        204 => Ok(Some(head + length)),
        200 if body.contains(&format!("\"accepted\":{events}")) => Ok(Some(head + length)),
        _ => Err(BenchError::other(format!("not every event was accepted: {status} {body}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_differences_counts() {
        let costs = Costs { turns: vec![vec![100.0, 900.0, 110.0], vec![104.0, 906.0, 300.0]] };
        assert_eq!((costs.ns(0), costs.dearer_ns(1, 0).0), (110.0, 6.0));
    }

    #[test]
    fn an_answer_counts_when_all_of_it_is_there_and_every_event_was_taken() {
        let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let all = answer(r#"{"accepted":2}"#);
        assert_eq!(success(all.as_bytes(), 2).unwrap(), Some(all.len()));
        assert_eq!(success(&all.as_bytes()[..all.len() - 1], 2).unwrap(), None);
        assert!(success(answer(r#"{"accepted":1,"rejected":[]}"#).as_bytes(), 2).is_err());
        assert!(success(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 1).is_err());
    }
}
