//! The admin server of a process: `/metrics`, `/healthz`, `/readyz`, and `/` with links to them. It runs until the end,
//! so that a service that drains can still be watched: [`crate::tasks::Tasks::wait`] does not wait for it, and
//! [`AdminServer::stop`] ends it.

use std::net::SocketAddr;

use actix_web::dev::ServerHandle;
use actix_web::http::header::ContentType;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::json;

use crate::health::Health;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::tasks::Tasks;

/// A running admin server.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    handle: ServerHandle,
}

/// The admin server did not start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the admin server cannot listen on {listen}: {source}; end what uses the port (another service on this machine?), or \
     choose another one with --admin or [admin] listen"
)]
pub struct AdminError {
    /// Where it was to listen.
    pub listen: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

#[derive(Clone)]
struct State {
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
}

impl AdminServer {
    /// Binds and serves; port 0 lets the system choose. `/readyz` says 503 from when `shutdown` is requested.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(
        listen: SocketAddr,
        metrics: Metrics,
        health: Health,
        tasks: &Tasks,
        shutdown: Shutdown,
    ) -> Result<Self, AdminError> {
        Self::start_with(listen, metrics, health, tasks, shutdown, |_| ())
    }

    /// As [`AdminServer::start`], with more routes.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start_with(
        listen: SocketAddr,
        metrics: Metrics,
        health: Health,
        tasks: &Tasks,
        shutdown: Shutdown,
        more_routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    ) -> Result<Self, AdminError> {
        let state = Data::new(State { metrics, health, shutdown });
        let failed = |source| AdminError { listen, source };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .configure(routes)
                .configure(more_routes.clone())
                .default_service(web::to(unknown))
        })
        .workers(1)
        .disable_signals()
        .bind(listen)
        .map_err(failed)?;
        let address = server.addrs().first().copied().unwrap_or(listen);
        let server = server.run();
        let handle = server.handle();
        drop(tasks.spawn_background("admin server", async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the admin server ended");
            }
        }));
        Ok(Self { address, handle })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it without waiting for open connections: the last thing a process does.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(index))
        .route("/metrics", web::get().to(metrics))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz));
}

/// For people who open the address in a browser.
async fn index() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::html()).body(INDEX)
}

const INDEX: &str =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Rungs: admin server</title>
<h1>Rungs: admin server</h1>
<ul>
<li><a href=\"/metrics\">/metrics</a>: what this process counts, for Prometheus</li>
<li><a href=\"/healthz\">/healthz</a>: 200 while the process turns</li>
<li><a href=\"/readyz\">/readyz</a>: 200 when it can serve, else what is missing</li>
</ul>
<p>The page with the numbers is the console's; events go to the collector.</p></html>
";

async fn unknown() -> HttpResponse {
    let body = "there is nothing at this path; there are /metrics, /healthz and /readyz\n";
    HttpResponse::NotFound().content_type(ContentType::plaintext()).body(body)
}

/// Gathers on a thread for blocking work: a scrape evaluates every funnel and must not hold up `/healthz`.
async fn metrics(state: Data<State>) -> HttpResponse {
    match web::block(move || state.metrics.render()).await {
        Ok(Ok(text)) => {
            HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
        }
        Ok(Err(error)) => {
            HttpResponse::InternalServerError().body(format!("metrics cannot be rendered: {error}"))
        }
        Err(_) => HttpResponse::ServiceUnavailable().body("no thread is free to render metrics"),
    }
}

/// Answering proves that the event loop turns; dependencies are not asked, or their outage would restart us.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n")
}

async fn readyz(state: Data<State>) -> HttpResponse {
    let mut missing = state.health.missing();
    if state.shutdown.is_requested() {
        missing.push("not shutting down");
    }
    match missing.is_empty() {
        true => HttpResponse::Ok().json(json!({"ready": true, "missing": missing})),
        false => HttpResponse::ServiceUnavailable().json(json!({"ready": false, "missing": missing})),
    }
}
