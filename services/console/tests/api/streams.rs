//! Server-sent events: when they come, who shares a read, what an outage looks like.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::Value;

use crate::running::Running;

const STREAM: &str = "/api/v1/funnels/shop/purchase/stream?window=7d";

/// Reads until an event of that name is complete; its data.
async fn event(response: &mut Response, buffer: &mut String, name: &str) -> Value {
    let reading = async {
        loop {
            if let Some(found) = take(buffer, name) {
                return found;
            }
            let chunk = response.chunk().await.unwrap().expect("the stream goes on");
            buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("an event in time")
}

fn take(buffer: &mut String, name: &str) -> Option<Value> {
    while let Some(end) = buffer.find("\n\n") {
        let block: String = buffer.drain(..end + 2).collect();
        if block.starts_with(&format!("event: {name}\n")) {
            let data = block.split_once("data: ").unwrap().1;
            return Some(serde_json::from_str(data.trim()).unwrap());
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_come_at_once_and_again_only_when_they_changed() {
    let console = Running::start(None);
    let mut stream = console.get(STREAM).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    assert!(!stream.headers().contains_key("content-encoding"));
    let mut buffer = String::new();
    let first = event(&mut stream, &mut buffer, "live").await;
    assert_eq!(first["steps"][0]["visitors"], 1_000);
    console.source.change(|state| state.as_of_ms += 1_000); // time alone is no news
    until(|| console.source.reads() >= 3).await;
    console.source.change(|state| state.entered = 1_001);
    let second = event(&mut stream, &mut buffer, "live").await;
    assert_eq!(second["steps"][0]["visitors"], 1_001, "the next event is the change");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_the_same_numbers_share_one_read_a_second() {
    let console = Running::start(None);
    let started = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = console.get(STREAM).await;
        event(&mut stream, &mut String::new(), "live").await;
        streams.push(stream);
    }
    let allowed = started.elapsed().as_secs() + 1;
    assert!(console.source.reads() <= allowed, "{} reads for 20 clients", console.source.reads());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_a_problem_event_and_passes() {
    let console = Running::start(None);
    console.source.change(|state| state.is_down = true);
    let mut stream = console.get(STREAM).await;
    let mut buffer = String::new();
    assert_eq!(event(&mut stream, &mut buffer, "problem").await["code"], "clickhouse_unavailable");
    console.source.change(|state| state.is_down = false);
    event(&mut stream, &mut buffer, "live").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_stream() {
    let console = Running::start(None);
    let mut stream = console.get(STREAM).await;
    event(&mut stream, &mut String::new(), "live").await;
    console.stop();
    let ended = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the stream ends");
}

async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}
