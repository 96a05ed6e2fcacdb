//! A console that runs for one test.
#![allow(dead_code)] // each test program uses its part

use std::sync::Arc;

use funnel::Plan;
use reqwest::{Client, Response};
use rungs_console::{Console, Server};
use runtime::settings::ConsoleSettings;
use runtime::{Health, Metrics, Shutdown, Tasks};
use serde_json::Value;
use tokio::sync::watch;

use crate::fake::Fake;

const PLAN: &str = include_str!("../../../../examples/demo/tracking-plan.toml");

pub(crate) const LIVE: &str = "/api/v1/funnels/shop/purchase/live?window=7d";

pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) source: Arc<Fake>,
    pub(crate) plan: watch::Sender<Option<Arc<Plan>>>,
    pub(crate) health: Health,
    pub(crate) client: Client,
    shutdown: Shutdown,
}

impl Running {
    pub(crate) fn start(token: Option<&str>) -> Self {
        let source = Arc::new(Fake::default());
        let (plan, receiver) = watch::channel(Some(Arc::new(Plan::parse("plan", PLAN).unwrap())));
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let console = Console {
            settings: ConsoleSettings {
                listen: ([127, 0, 0, 1], 0).into(),
                workers: 1,
                token: token.map(str::to_owned),
                max_report_visitors: 1_000,
            },
            source: source.clone(),
            plan: receiver,
            tasks: Tasks::new(),
            metrics: Metrics::new().unwrap(),
            health: health.clone(),
        };
        let tasks = console.tasks.clone();
        let server = Server::bind(console, shutdown.clone()).unwrap();
        let url = format!("http://{}", server.address());
        drop(tasks.spawn("console under test", server.serve()));
        let client = Client::builder().no_gzip().build().unwrap();
        Self { url, source, plan, health, client, shutdown }
    }

    /// Puts another plan in force.
    pub(crate) fn plan(&self, text: &str) {
        self.plan.send_replace(Some(Arc::new(Plan::parse("plan", text).unwrap())));
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Status and code of a refusal.
    pub(crate) async fn refusal(&self, path: &str) -> (u16, String, Value) {
        let response = self.get(path).await;
        let status = response.status().as_u16();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["request_id"], id, "{path}");
        assert!(!body["message"].as_str().unwrap().is_empty());
        (status, body["code"].as_str().unwrap().to_owned(), body)
    }

    /// The time of the numbers is now.
    pub(crate) fn is_now(&self) {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        self.source.change(|state| state.as_of_ms = i64::try_from(since.as_millis()).unwrap());
    }

    pub(crate) fn stop(&self) {
        self.shutdown.request();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
