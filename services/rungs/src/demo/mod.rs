//! Simulated visitors: who comes and how far they climb is in [`climb`], pure; here their events are sent when they are
//! due. Bounded in number and time; ends by itself, or when a stop is asked for.

mod climb;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::Client;
use runtime::Shutdown;
use serde_json::Value;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::import::send::cause;
use climb::Moment;

/// Events that are due are sent this often.
const TICK: Duration = Duration::from_millis(250);
/// Without an answer for this long, the visitors stay away for good.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream of visitors.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The collector, without a slash at its end.
    pub(crate) url: String,
    pub(crate) key: String,
    /// New visitors a second.
    pub(crate) rate: f64,
    /// New visitors come for this long.
    pub(crate) length: Duration,
}

/// Runs the stream to its end.
///
/// # Errors
/// When the collector refuses events, or does not answer for a minute.
pub(crate) async fn run(stream: &Stream, shutdown: Shutdown) -> Result<(), Failure> {
    let mut crowd = Crowd::new(StdRng::from_os_rng());
    let (client, started) = (Client::new(), Instant::now());
    let mut answered_at = started;
    let mut due: Vec<Value> = Vec::new();
    loop {
        let elapsed = started.elapsed();
        crowd.arrive(elapsed.min(stream.length).as_secs_f64() * stream.rate, elapsed);
        due.extend(crowd.due(elapsed));
        match send(&client, stream, &due).await {
            Ok(()) => {
                due.clear();
                answered_at = Instant::now();
            }
            Err(Unsent::Refused(reason)) => return Err(Failure::new(format!("{}: {reason}", stream.url))),
            Err(Unsent::Away(reason)) if answered_at.elapsed() > PATIENCE => {
                return Err(Failure::new(format!("{} does not answer: {reason}", stream.url)));
            }
            Err(Unsent::Away(_)) => {}
        }
        if due.is_empty() && crowd.is_empty() && elapsed >= stream.length {
            return Ok(());
        }
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Everybody who came, and what they will do.
struct Crowd {
    random: StdRng,
    run: String,
    arrived: u64,
    moments: BinaryHeap<Reverse<Moment>>,
}

impl Crowd {
    fn new(mut random: StdRng) -> Self {
        let run = format!("{:08x}", rand::Rng::random::<u32>(&mut random));
        Self { random, run, arrived: 0, moments: BinaryHeap::new() }
    }

    fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// Lets visitors come until there were `total`.
    fn arrive(&mut self, total: f64, now: Duration) {
        while (self.arrived as f64) < total.floor() {
            self.arrived += 1;
            let visitor = format!("demo-{}-{}", self.run, self.arrived);
            let climb = climb::climb(&mut self.random, &visitor);
            self.moments.extend(climb.into_iter().map(|moment| Reverse(moment.after(now))));
        }
    }

    /// Takes what is due.
    fn due(&mut self, now: Duration) -> Vec<Value> {
        let mut due = Vec::new();
        while self.moments.peek().is_some_and(|Reverse(moment)| moment.at <= now) {
            due.extend(self.moments.pop().map(|Reverse(moment)| moment.event.stamped()));
        }
        due
    }
}

enum Unsent {
    /// Trying again can help.
    Away(String),
    Refused(String),
}

/// Events keep their message ids when they are sent again.
async fn send(client: &Client, stream: &Stream, events: &[Value]) -> Result<(), Unsent> {
    if events.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let request = client.post(format!("{}/v1/events", stream.url)).basic_auth(&stream.key, None::<&str>);
    let response = request.header("content-type", "application/x-ndjson").body(lines.join("\n")).send().await;
    let response = response.map_err(|error| Unsent::Away(cause(&error)))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let text = response.text().await.unwrap_or_default();
    let reason = format!("{status} {}", text.trim());
    Err(if status.is_server_error() { Unsent::Away(reason) } else { Unsent::Refused(reason) })
}
