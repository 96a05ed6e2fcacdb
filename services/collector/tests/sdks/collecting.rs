//! A collector over the log in memory, which can be started anew on the same port and the same log.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use collector::{Collector, CollectorError};
use event_log::memory::MemoryLog;
use event_log::{Source, SystemClock};
use funnel::Plan;
use funnel::plan::{Origins, Site, SiteLimits, SitePolicy};
use prost::Message;
use rungs_proto::v1::{Event, Record, record::Body};
use runtime::settings::CollectorSettings;
use runtime::{Health, Metrics, Shutdown, Tasks};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clients::KEY;

const PARTITIONS: u32 = 2;

pub(crate) struct Collecting {
    pub(crate) address: SocketAddr,
    log: Arc<MemoryLog>,
    metrics: Metrics,
    shutdown: Shutdown,
    plan: watch::Sender<Option<Arc<Plan>>>,
    served: JoinHandle<Result<(), CollectorError>>,
}

fn plan() -> Plan {
    let site = Site {
        id: "shop".into(),
        timezone: "UTC".into(),
        write_keys: vec![KEY.into()],
        secret_keys_sha256: vec![],
        origins: Origins::Any,
        retention_days: None,
        redirects: vec![],
        limits: SiteLimits::default(),
        policy: SitePolicy::default(),
        schema: None,
    };
    Plan { sites: vec![site], funnels: vec![] }
}

impl Collecting {
    pub(crate) async fn start() -> Self {
        let log = Arc::new(MemoryLog::new(PARTITIONS, Arc::new(SystemClock)));
        Self::start_on(([127, 0, 0, 1], 0).into(), log).await
    }

    async fn start_on(listen: SocketAddr, log: Arc<MemoryLog>) -> Self {
        let (metrics, shutdown) = (Metrics::new().unwrap(), Shutdown::new());
        let (plan, receiver) = watch::channel(Some(Arc::new(plan())));
        let collector = Collector {
            settings: CollectorSettings { listen, workers: 1, ..CollectorSettings::default() },
            publisher: log.clone(),
            direct: log.clone(),
            plan: receiver,
            warehouse: None,
            rejections: None,
            salts: watch::channel(None).1,
            generations: Arc::default(),
            metrics: &metrics,
            health: Health::new(),
        };
        let bound = collector.bind(&shutdown).unwrap();
        let address = bound.address();
        let served = Tasks::new().spawn("collector", bound.serve());
        Self { address, log, metrics, shutdown, plan, served }
    }

    /// Ends it as a deployment does, and starts another one in its place.
    pub(crate) async fn restart(&mut self) {
        self.shutdown.request();
        (&mut self.served).await.unwrap().unwrap();
        *self = Self::start_on(self.address, self.log.clone()).await;
        assert!(self.plan.borrow().is_some());
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What is on the log.
    pub(crate) fn events(&self) -> Vec<Event> {
        let records = (0..PARTITIONS).flat_map(|partition| self.log.read(partition, 0, usize::MAX).unwrap());
        let event = |record: Record| match record.body {
            Some(Body::Event(event)) => Some(event),
            _ => None,
        };
        records.filter_map(|record| event(Record::decode(record.value).unwrap())).collect()
    }

    /// Waits until a run's events are here, by their ids.
    pub(crate) async fn until(&self, events: usize, run: &str) {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let ours = self.events().into_iter().filter(|event| event.visitor_id.starts_with(run));
            let found: HashSet<String> = ours.map(|event| event.message_id).collect();
            if found.len() >= events {
                return;
            }
            assert!(Instant::now() < deadline, "{} of {events} events of {run}", found.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many requests to an endpoint were answered 200.
    pub(crate) fn requests(&self, endpoint: &str) -> u64 {
        let text = String::from_utf8(self.metrics.render().unwrap()).unwrap();
        let series = format!("rungs_collector_requests_total{{endpoint=\"{endpoint}\",status=\"200\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
    }

    /// Lines of the metrics about requests that were answered otherwise.
    pub(crate) fn answers_other_than_200(&self) -> Vec<String> {
        let text = String::from_utf8(self.metrics.render().unwrap()).unwrap();
        let requests = text.lines().filter(|line| line.starts_with("rungs_collector_requests_total{"));
        requests.filter(|line| !line.contains("status=\"200\"")).map(str::to_owned).collect()
    }
}
