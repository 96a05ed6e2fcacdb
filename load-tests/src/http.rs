//! The load generator: many keep-alive connections on a few threads, one request at a time on each.
//!
//! Closed loop: a connection sends its next request when it has the answer to the last. Open loop: requests are due at
//! fixed times; latency counts from then, also where the connection was still waiting. Timers are right to a
//! millisecond. Bounded by time; talks to loopback only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use runtime::now_ms;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::template::{Form, Requests};

/// What to send.
#[derive(Debug, Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: u32,
    pub form: Form,
    /// Events a second over all connections; `None`: as fast as answers come.
    pub events_a_second: Option<f64>,
    pub time: Duration,
    /// Threads of the generator.
    pub threads: usize,
    /// Tells this run's message ids from another's.
    pub run: u16,
}

/// What came back.
#[derive(Debug)]
pub struct Outcome {
    /// Requests answered with 2xx.
    pub requests: u64,
    /// Events that those answers say were accepted (a 204 accepts all).
    pub events: u64,
    /// Requests answered otherwise, or not at all.
    pub failed: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Microseconds from due (open) or sent (closed) to answered.
    pub latency: Histogram<u64>,
}

impl Outcome {
    fn empty() -> Result<Self, BenchError> {
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3)
            .map_err(|error| BenchError::other(format!("histogram: {error}")))?;
        Ok(Self { requests: 0, events: 0, failed: 0, elapsed: Duration::ZERO, latency })
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.events += other.events;
        self.failed += other.failed;
        let _ = self.latency.add(&other.latency);
    }

    /// Accepted events a second.
    pub fn events_a_second(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Milliseconds at a quantile (0..=1).
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

impl Load {
    /// Sends, on threads of its own.
    pub fn run(&self) -> Result<Outcome, BenchError> {
        if !self.address.ip().is_loopback() {
            return Err(BenchError::other("load goes to loopback only"));
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(self.threads).enable_all().build()?;
        runtime.block_on(self.run_all())
    }

    async fn run_all(&self) -> Result<Outcome, BenchError> {
        let barrier = Arc::new(Barrier::new(self.connections as usize + 1));
        let mut lanes = JoinSet::new();
        for lane in 0..self.connections {
            // One after the other, so that the server's backlog takes them all.
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let connection = Connection { stream, buffer: Vec::with_capacity(4_096) };
            let (load, barrier) = (self.clone(), Arc::clone(&barrier));
            let requests = Requests::new(&self.form, lane, self.run)?;
            lanes.spawn(async move {
                barrier.wait().await;
                load.lane(lane, requests, connection).await
            });
        }
        barrier.wait().await;
        let started = Instant::now();
        let mut all = Outcome::empty()?;
        while let Some(lane) = lanes.join_next().await {
            all.add(&lane.map_err(|error| BenchError::other(error.to_string()))??);
        }
        all.elapsed = started.elapsed();
        Ok(all)
    }

    async fn lane(
        &self,
        lane: u32,
        mut requests: Requests,
        mut connection: Connection,
    ) -> Result<Outcome, BenchError> {
        let mut outcome = Outcome::empty()?;
        let schedule = self.schedule(lane, self.form.events);
        let started = Instant::now();
        for number in 0u64.. {
            let due = match schedule {
                Some((first, interval)) => started + first + interval.mul_f64(number as f64),
                None => Instant::now(),
            };
            if due.duration_since(started) >= self.time {
                break;
            }
            tokio::time::sleep_until(due.into()).await;
            let request = requests.next(now_ms());
            let answer = connection.exchange(request).await;
            let waited = due.elapsed().as_micros() as u64;
            match answer {
                Ok(answer) if answer.status / 100 == 2 => {
                    outcome.requests += 1;
                    outcome.events += answer.accepted.unwrap_or(self.form.events as u64);
                    outcome.latency.saturating_record(waited.max(1));
                }
                Ok(_) => outcome.failed += 1,
                Err(_) => {
                    outcome.failed += 1;
                    break;
                }
            }
        }
        Ok(outcome)
    }

    /// When a connection's first request is due and how far apart its requests are; connections take turns.
    fn schedule(&self, lane: u32, events: usize) -> Option<(Duration, Duration)> {
        let requests_a_second = self.events_a_second? / events as f64;
        let between_any = 1.0 / requests_a_second;
        let between_own = between_any * f64::from(self.connections);
        Some((Duration::from_secs_f64(between_any * f64::from(lane)), Duration::from_secs_f64(between_own)))
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What matters of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// `"accepted":n` of its body.
    accepted: Option<u64>,
}

impl Connection {
    async fn exchange(&mut self, request: &[u8]) -> Result<Answer, BenchError> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(BenchError::other("the server closed the connection"));
            }
            if let Some(answer) = parse(&self.buffer)? {
                return Ok(answer);
            }
        }
    }
}

/// The answer, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, BenchError> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head =
        response.parse(bytes).map_err(|error| BenchError::other(format!("no HTTP answer: {error}")))?;
    let httparse::Status::Complete(head) = head else { return Ok(None) };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
    Ok(Some(Answer { status: response.code.unwrap_or(0), accepted: accepted(body) }))
}

fn accepted(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("\"accepted\":")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Wire;

    fn load(rate: f64, connections: u32) -> Load {
        Load {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            connections,
            form: Form { path: "/v1/events", wire: Wire::Lines, events: 500, visitors: 1 },
            events_a_second: Some(rate),
            time: Duration::from_secs(1),
            threads: 1,
            run: 0,
        }
    }

    #[test]
    fn connections_take_turns_at_the_rate() {
        let load = load(100_000.0, 4);
        let schedules: Vec<_> = (0..4).map(|lane| load.schedule(lane, 500).unwrap()).collect();
        let firsts: Vec<u128> = schedules.iter().map(|(first, _)| first.as_micros()).collect();
        assert_eq!(firsts, [0, 5_000, 10_000, 15_000]);
        assert!(schedules.iter().all(|(_, interval)| interval.as_micros() == 20_000));
    }

    #[test]
    fn an_answer_is_read_when_all_of_it_is_there() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n{\"ok\":true,\"accepted\":500,\"x\":1}";
        assert_eq!(parse(&text[..20]).unwrap(), None);
        assert_eq!(parse(&text[..50]).unwrap(), None);
        assert_eq!(parse(text).unwrap(), Some(Answer { status: 200, accepted: Some(500) }));
        let none = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(parse(none).unwrap(), Some(Answer { status: 204, accepted: None }));
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn rates_and_quantiles_come_from_what_was_answered() {
        let mut outcome = Outcome::empty().unwrap();
        (1..=100).for_each(|ms| outcome.latency.saturating_record(ms * 1_000));
        (outcome.events, outcome.elapsed) = (5_000, Duration::from_secs(2));
        assert_eq!(outcome.events_a_second(), 2_500.0);
        assert!((98.9..99.2).contains(&outcome.latency_ms(0.99)), "{}", outcome.latency_ms(0.99));
    }

    #[test]
    fn load_leaves_loopback_alone() {
        let mut elsewhere = load(1.0, 1);
        elsewhere.address = SocketAddr::from(([192, 0, 2, 1], 80));
        assert!(elsewhere.run().is_err());
    }
}
