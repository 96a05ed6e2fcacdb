//! The admin server of a process: `/metrics`, `/healthz`, `/readyz`. It runs until the end, so that a service that
//! drains can still be watched: [`crate::tasks::Tasks::wait`] does not wait for it, and [`AdminServer::stop`] ends it.

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
    "the admin server cannot listen on {listen}: {source} (change [admin] listen, or end what uses the port)"
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
            App::new().app_data(state.clone()).configure(routes).configure(more_routes.clone())
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
        .route("/metrics", web::get().to(metrics))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz));
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
