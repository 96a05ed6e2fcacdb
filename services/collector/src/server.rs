//! Binding, serving and stopping. [`Collector::bind`] opens the port (`listener`), [`Bound::serve`] runs until shutdown is asked for.
//! Stopping is one function: stop accepting, refuse what still comes on open connections, let requests in flight end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::HeaderName;
use actix_web::web::Data;
use arc_swap::ArcSwapOption;
use event_log::rejected::Rejections;
use event_log::salts::Salts;
use event_log::{Generations, Publisher};
use funnel::Plan;
use runtime::health::Condition;
use runtime::settings::CollectorSettings;
use runtime::{Health, Shutdown, now_ms};
use tokio::sync::watch;

use crate::body::InFlight;
use crate::imports::SeenImports;
use crate::keys::Keys;
use crate::listener;
use crate::metrics::Metrics;
use crate::quota::{self, Addresses, Visitors};
use crate::receive::State;
use crate::tag::TagPaths;
use crate::warehouse_status::WarehouseStatus;

/// After a failure of the log, the collector reports that it is not ready for this long.
const LOG_FAILURE_MS: i64 = 5_000;

/// What a collector needs.
pub struct Collector<'m> {
    pub settings: CollectorSettings,
    pub publisher: Arc<dyn Publisher>,
    /// Takes imports and control records, which may wait and must be in their place when they are acknowledged: the log
    /// itself where `publisher` has a spill, else the same.
    pub direct: Arc<dyn Publisher>,
    /// The plan in force; none until one was applied.
    pub plan: watch::Receiver<Option<Arc<Plan>>>,
    /// The salts of visitors without an id, for sites that are `cookieless`.
    pub salts: watch::Receiver<Option<Arc<Salts>>>,
    /// Asks the warehouse about imports, without which `GET /v1/imports/{id}` is 501, and about visitors.
    pub warehouse: Option<Arc<dyn WarehouseStatus>>,
    /// Numbers what a completed import begins; the process has one for all that it begins.
    pub generations: Arc<Generations>,
    /// Takes rejected events, for people to find them; without it they are in the answer and in the metrics only.
    pub rejections: Option<Arc<Rejections>>,
    pub metrics: &'m runtime::Metrics,
    /// Gets the conditions `plan loaded` and `log writable`.
    pub health: Health,
}

/// Why a collector could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    #[error(
        "the collector cannot listen on {address}: {source}; end what uses the port, or choose another one with --listen or \
         [collector] listen"
    )]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("[collector] {setting} is no header's name: {name}")]
    Header { setting: &'static str, name: String },
    #[error(
        "[collector] tag_path is no path of its own: {0}; write one such as \"/assets/site.js\", of letters, digits and -._~/"
    )]
    TagPath(String),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    #[error("the HTTP server failed: {0}")]
    Server(#[source] std::io::Error),
}

/// A collector whose port is open.
pub struct Bound {
    address: SocketAddr,
    server: Server,
    state: Data<State>,
    plan: watch::Receiver<Option<Arc<Plan>>>,
    plan_loaded: Condition,
    log_writable: Condition,
}

/// Serves until shutdown is asked for and requests in flight have ended.
///
/// # Errors
/// When the port cannot be opened, or the HTTP server fails.
pub async fn run(collector: Collector<'_>, shutdown: Shutdown) -> Result<(), CollectorError> {
    collector.bind(&shutdown)?.serve().await
}

impl Collector<'_> {
    /// Opens the port; connections are taken once [`Bound::serve`] runs.
    ///
    /// # Errors
    /// When the port cannot be opened or a setting is invalid.
    pub fn bind(self, shutdown: &Shutdown) -> Result<Bound, CollectorError> {
        let metrics = Metrics::register(self.metrics)?;
        let country_header = header(&self.settings.country_header, "country_header")?;
        let address_header = header(&self.settings.address_header, "address_header")?;
        let tag_path = self.settings.tag_path.as_deref();
        let tag_paths = TagPaths::of(tag_path)
            .ok_or_else(|| CollectorError::TagPath(tag_path.unwrap_or_default().into()))?;
        let state = Data::new(State {
            country_header,
            address_header,
            addresses: Addresses::new(),
            visitors: Visitors::new(),
            tag_paths,
            publisher: self.publisher,
            direct: self.direct,
            salts: self.salts,
            keys: ArcSwapOption::empty(),
            warehouse: self.warehouse,
            seen_imports: SeenImports::default(),
            generations: self.generations,
            rejections: self.rejections,
            in_flight: InFlight::new(self.settings.max_in_flight_bytes, metrics.in_flight_bytes.clone()),
            metrics,
            shutdown: shutdown.clone(),
            log_failed_at_ms: AtomicI64::new(0),
            settings: self.settings,
        });
        let (address, server) = listener::listen(&state)?;
        let (plan_loaded, log_writable) =
            (self.health.condition("plan loaded"), self.health.condition("log writable"));
        tracing::info!(%address, "collector listens");
        Ok(Bound { address, server, state, plan: self.plan, plan_loaded, log_writable })
    }
}

fn header(name: &Option<String>, setting: &'static str) -> Result<Option<HeaderName>, CollectorError> {
    let wrong = |name: &String| CollectorError::Header { setting, name: name.clone() };
    name.as_ref().map(|name| HeaderName::try_from(name).map_err(|_| wrong(name))).transpose()
}

impl Bound {
    /// Where it listens: the settings' address, with the port that the system chose for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the shutdown that it was bound with is requested, then drains.
    ///
    /// # Errors
    /// When the HTTP server fails.
    pub async fn serve(self) -> Result<(), CollectorError> {
        let handle = self.server.handle();
        let follow = follow(self.state.clone(), self.plan, self.plan_loaded, self.log_writable);
        let shutdown = self.state.shutdown.clone();
        let stop = async move {
            shutdown.requested().await;
            handle.stop(true).await;
        };
        tokio::pin!(follow);
        let served = async {
            let (result, ()) = tokio::join!(self.server, stop);
            result
        };
        tokio::select! {
            result = served => result.map_err(CollectorError::Server),
            () = &mut follow => Ok(()),
        }
    }
}

/// Keeps the keys and the readiness up to date; never ends.
async fn follow(
    state: Data<State>,
    mut plan: watch::Receiver<Option<Arc<Plan>>>,
    plan_loaded: Condition,
    log_writable: Condition,
) {
    let mut check = tokio::time::interval(Duration::from_millis(500));
    let mut plans_end = false;
    apply(&state, &mut plan, &plan_loaded);
    loop {
        tokio::select! {
            changed = plan.changed(), if !plans_end => match changed {
                Ok(()) => apply(&state, &mut plan, &plan_loaded),
                // Nobody will change it any more: the last plan stays in force.
                Err(_) => plans_end = true,
            },
            _ = check.tick() => {
                let failed_at = state.log_failed_at_ms.load(Ordering::Acquire);
                log_writable.set(failed_at == 0 || now_ms() - failed_at > LOG_FAILURE_MS);
                show_quotas(&state);
            }
        }
    }
}

fn apply(state: &State, plan: &mut watch::Receiver<Option<Arc<Plan>>>, plan_loaded: &Condition) {
    let plan = plan.borrow_and_update().clone();
    plan_loaded.set(plan.is_some());
    let settings = &state.settings;
    let max_share = settings.max_in_flight_bytes / 100 * settings.site_share_percent;
    let before = state.keys.load();
    let keys = plan.map(|plan| Keys::of(plan, max_share, &state.metrics, before.as_deref()));
    state.keys.store(keys.map(Arc::new));
    state.metrics.hide_quotas();
    show_quotas(state);
}

/// Shows how much of their quotas sites use, and forgets addresses that have not sent for a while.
fn show_quotas(state: &State) {
    let keys = state.keys.load();
    for quota in keys.iter().flat_map(|keys| keys.accounts()).map(|account| &account.quota) {
        quota.show(&state.metrics);
    }
    state.addresses.sweep(quota::now_ns());
    state.metrics.limited_addresses.set(i64::try_from(state.addresses.len()).unwrap_or(i64::MAX));
}
