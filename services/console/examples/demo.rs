//! The console with made-up numbers, to work on the page without an engine:
//! `cargo run -p rungs-console --example demo [empty|building|down|closed|noplan]`.
//! It serves the plan of `examples/demo` (or another one, as second argument) until it is interrupted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, dead_code)]

use std::sync::Arc;
use std::time::Duration;

use funnel::Plan;
use rungs_console::{Console, Server};
use runtime::settings::ConsoleSettings;
use runtime::{Health, Metrics, Shutdown, Tasks, now_ms};
use tokio::sync::watch;

#[path = "../tests/api/fake.rs"]
mod fake;

#[tokio::main]
async fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let file = std::env::args().nth(2).unwrap_or_else(|| "examples/demo/tracking-plan.toml".into());
    let plan =
        Plan::parse(&file, &std::fs::read_to_string(&file).expect("the plan's file")).expect("a valid plan");
    let source = Arc::new(fake::Fake::default());
    source.change(|state| {
        state.entered = if mode == "empty" { 0 } else { 48_210 };
        state.values = ["email", "organic", "paid_search", "social", "direct", "(none)"]
            .iter()
            .enumerate()
            .map(|(index, value)| (value.to_string(), state.entered / (index as u32 + 2)))
            .collect();
        state.building = (mode == "building").then_some(0.42);
        state.is_down = mode == "down";
    });
    let shutdown = Shutdown::on_signals().expect("signal handlers");
    let tasks = Tasks::new();
    let (sender, plan) = watch::channel((mode != "noplan").then(|| Arc::new(plan)));
    let settings = ConsoleSettings {
        listen: std::env::var("LISTEN")
            .ok()
            .map_or(([127, 0, 0, 1], 8081).into(), |text| text.parse().unwrap()),
        token: (mode == "closed").then(|| "demo".to_owned()),
        ..ConsoleSettings::default()
    };
    let console = Console {
        settings,
        source: source.clone(),
        plan,
        tasks: tasks.clone(),
        metrics: Metrics::new().unwrap(),
        health: Health::new(),
    };
    let server = Server::bind(console, shutdown.clone()).expect("a free port");
    println!("http://{}", server.address());
    drop(tasks.spawn("demo numbers", async move {
        loop {
            source.change(|state| {
                state.as_of_ms = now_ms();
                state.entered += if state.entered > 0 { 7 } else { 0 };
            });
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }));
    server.serve().await.unwrap();
    drop(sender);
}
