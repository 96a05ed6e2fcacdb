//! A collector on a port of the system's choice, its log, and what a test asks of both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use collector::{Collector, CollectorError, WarehouseStatus};
use event_log::memory::MemoryLog;
use event_log::rejected::Rejections;
use event_log::salts::{Salt, Salts};
use event_log::{Clock, Publisher, Source, SystemClock};
use funnel::Plan;
use funnel::plan::{Origins, Redirect, Site, SiteLimits, SitePolicy};
use prost::Message;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, Response};
use rungs_proto::v1::{Control, Event, Record, record::Body};
use runtime::settings::CollectorSettings;
use runtime::{Health, Metrics, Shutdown, Tasks};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const PARTITIONS: u32 = 4;

pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) shutdown: Shutdown,
    pub(crate) plan: watch::Sender<Option<Arc<Plan>>>,
    pub(crate) salts: watch::Sender<Option<Arc<Salts>>>,
    pub(crate) client: Client,
    pub(crate) served: JoinHandle<Result<(), CollectorError>>,
}

pub(crate) fn plan() -> Plan {
    let site = |id: &str, key: &str, origins| Site {
        id: id.into(),
        timezone: "UTC".into(),
        write_keys: vec![key.into()],
        secret_keys_sha256: vec![Sha256::digest(format!("secret_{key}")).into()],
        origins,
        retention_days: None,
        redirects: vec![],
        limits: SiteLimits::default(),
        policy: SitePolicy::default(),
        schema: None,
    };
    let only = Origins::Only(vec!["https://shop.example".into()]);
    let mut shop = site("shop", "wk", only);
    shop.redirects = ["https://shop.example/", "https://partner.example/sale/"]
        .map(|address| Redirect::parse(address).unwrap())
        .to_vec();
    Plan { sites: vec![shop, site("blog", "wk_blog", Origins::Any)], funnels: vec![] }
}

pub(crate) async fn start() -> Running {
    start_with(|_| {}, None).await
}

pub(crate) async fn start_with(
    change: impl FnOnce(&mut CollectorSettings),
    warehouse: Option<Arc<dyn WarehouseStatus>>,
) -> Running {
    start_whole(change, warehouse, None).await
}

/// A collector that hands over what it rejects.
pub(crate) async fn start_keeping(rejections: Arc<Rejections>) -> Running {
    start_whole(|_| {}, None, Some(rejections)).await
}

async fn start_whole(
    change: impl FnOnce(&mut CollectorSettings),
    warehouse: Option<Arc<dyn WarehouseStatus>>,
    rejections: Option<Arc<Rejections>>,
) -> Running {
    let mut settings =
        CollectorSettings { listen: ([127, 0, 0, 1], 0).into(), workers: 1, ..CollectorSettings::default() };
    change(&mut settings);
    let log = Arc::new(MemoryLog::new(PARTITIONS, Arc::new(SystemClock)));
    let (metrics, health, shutdown) = (Metrics::new().unwrap(), Health::new(), Shutdown::new());
    let (sender, receiver) = watch::channel(Some(Arc::new(plan())));
    let (salts, known_salts) = watch::channel(None);
    let publisher = Arc::clone(&log) as Arc<dyn Publisher>;
    let collector = Collector {
        settings,
        publisher,
        plan: receiver,
        warehouse,
        direct: log.clone(),
        salts: known_salts,
        generations: Arc::default(),
        rejections,
        metrics: &metrics,
        health: health.clone(),
    };
    let bound = collector.bind(&shutdown).unwrap();
    let address = bound.address();
    let served = Tasks::new().spawn("collector", bound.serve());
    let running = Running {
        url: format!("http://{address}"),
        address,
        log,
        metrics,
        health,
        shutdown,
        plan: sender,
        salts,
        client: Client::new(),
        served,
    };
    running.until("ready", || running.health.is_ready()).await;
    running
}

impl Running {
    /// Makes salts known, new ones, for today and tomorrow.
    pub(crate) fn salt(&self) {
        let mut salts = Salts::default();
        let today = SystemClock.now_ms() / 86_400_000;
        for day in [today, today + 1] {
            salts.take(day, Salt::random());
        }
        self.salts.send_replace(Some(Arc::new(salts)));
    }

    /// A POST with the shop's write key.
    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).header("x-write-key", "wk").body(body)
    }

    /// Posts events and gives back the answer, which must be 200.
    pub(crate) async fn ok(&self, path: &str, body: impl Into<reqwest::Body>) -> Value {
        let (status, answer) = read(self.post(path, body).send().await.unwrap()).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Posts one event, which must be accepted, and gives back what is on the log.
    pub(crate) async fn stored(&self, event: Value) -> Event {
        let ends: Vec<u64> = (0..PARTITIONS).map(|partition| *self.log.end(partition).borrow()).collect();
        let answer = self.ok("/v1/events", event.to_string()).await;
        assert_eq!(answer["accepted"], 1, "{answer}");
        let after = |partition: u32| self.log.read(partition, ends[partition as usize], usize::MAX).unwrap();
        let mut new: Vec<_> = (0..PARTITIONS).flat_map(after).collect();
        assert_eq!(new.len(), 1);
        match Record::decode(new.remove(0).value).unwrap().body {
            Some(Body::Event(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    /// The events on the log, partition by partition.
    pub(crate) fn events(&self) -> Vec<Event> {
        let event = |(_, record): (u32, Record)| match record.body {
            Some(Body::Event(event)) => Some(event),
            _ => None,
        };
        self.records().into_iter().filter_map(event).collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.events().into_iter().map(|event| event.event).collect()
    }

    pub(crate) fn controls(&self) -> Vec<(u32, Control)> {
        let control = |(partition, record): (u32, Record)| match record.body {
            Some(Body::Control(control)) => Some((partition, control)),
            _ => None,
        };
        self.records().into_iter().filter_map(control).collect()
    }

    fn records(&self) -> Vec<(u32, Record)> {
        let partition = |partition| {
            let records = self.log.read(partition, 0, usize::MAX).unwrap();
            records.into_iter().map(move |record| (partition, Record::decode(record.value).unwrap()))
        };
        (0..PARTITIONS).flat_map(partition).collect()
    }

    /// The value of a series as `/metrics` writes it.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = String::from_utf8(self.metrics.render().unwrap()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not among\n{text}")).parse().unwrap()
    }

    /// Puts a plan in force that is the usual one but for a change.
    pub(crate) async fn apply(&self, change: impl FnOnce(&mut Plan)) {
        let mut changed = plan();
        change(&mut changed);
        let applied = Arc::new(changed);
        self.plan.send_replace(Some(Arc::clone(&applied)));
        // The collector's keys hold it too, as soon as they are those of the plan.
        self.until("applied", || Arc::strong_count(&applied) > 2).await;
    }

    /// Every event of the test ended; none was lost.
    pub(crate) fn assert_outcomes(&self, accepted: u64, rejected: u64, refused: u64) {
        for (outcome, events) in [("accepted", accepted), ("rejected", rejected), ("refused", refused)] {
            let series = format!("rungs_collector_events_total{{outcome=\"{outcome}\"}}");
            assert_eq!(self.metric(&series), events as f64, "{outcome}");
        }
        assert_eq!(self.metric("rungs_collector_lost_events_total"), 0.0);
        assert_eq!(self.metric("rungs_collector_in_flight_bytes"), 0.0);
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "not {what} within 10 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.headers().contains_key("access-control-allow-origin"));
    assert!(response.headers().contains_key("x-request-id"));
    (status, response.json().await.unwrap())
}

/// Nothing on the way may answer for the collector.
pub(crate) fn assert_uncached(headers: &HeaderMap) {
    for (name, wanted) in [
        ("cache-control", "no-store, no-cache, must-revalidate, max-age=0"),
        ("pragma", "no-cache"),
        ("expires", "0"),
    ] {
        assert_eq!(headers[name], wanted);
    }
    assert!(!headers.contains_key("etag") && !headers.contains_key("last-modified"));
}

/// An event as text, with this name.
pub(crate) fn event(name: &str) -> String {
    format!(r#"{{"event":"{name}","anonymousId":"v1"}}"#)
}
