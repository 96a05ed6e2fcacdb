//! The HTTP server of a console: binds, serves until a stop is asked for, drains.

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{App, HttpServer, dev, middleware};
use runtime::Shutdown;

use crate::hub::Hub;
use crate::metrics::ConsoleMetrics;
use crate::routes::{self, State};
use crate::{Console, ConsoleError, readiness};

/// Connections at the same time, at most (streams included).
const MAX_CONNECTIONS: usize = 2_000;
/// A request's head must be here within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that run when a stop is asked for have this long.
const DRAIN_SECONDS: u64 = 10;

/// A console that listens and, once [`Server::serve`] is awaited, serves.
pub struct Server {
    address: SocketAddr,
    server: dev::Server,
    shutdown: Shutdown,
}

impl Server {
    /// Binds; port 0 lets the system choose. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound or a metric is registered twice.
    pub fn bind(console: Console, shutdown: Shutdown) -> Result<Self, ConsoleError> {
        let Console { settings, source, plan, tasks, metrics, health } = console;
        let listen = settings.listen;
        let workers = settings.workers;
        let metrics = ConsoleMetrics::register(&metrics)?;
        readiness::watch(&tasks, &health, source.clone(), shutdown.clone());
        let hub = Hub::new(source.clone(), plan.clone(), tasks, shutdown.clone(), metrics.clone());
        let state = Data::new(State::new(settings.token, source, plan, hub, metrics));
        let server = HttpServer::new(move || {
            App::new()
                .wrap(middleware::from_fn(routes::observed))
                .app_data(state.clone())
                .configure(routes::configure)
        })
        .on_connect(|connection, _| send_at_once(connection))
        .max_connections(MAX_CONNECTIONS)
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals();
        let server = match workers {
            0 => server,
            workers => server.workers(workers),
        };
        let server = server.bind(listen).map_err(|source| ConsoleError::Listen { listen, source })?;
        let address = server.addrs().first().copied().unwrap_or(listen);
        Ok(Self { address, server: server.run(), shutdown })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until a stop is asked for, then lets running requests end.
    ///
    /// # Errors
    /// When the server breaks off.
    pub async fn serve(self) -> Result<(), ConsoleError> {
        tracing::info!(address = %self.address, "the console is up");
        let handle = self.server.handle();
        let shutdown = self.shutdown;
        let stop = async {
            shutdown.requested().await;
            handle.stop(true).await;
        };
        let (outcome, ()) = tokio::join!(ended(self.server, &shutdown), stop);
        outcome.map_err(ConsoleError::Serve)
    }
}

/// A server that ends by itself also ends the wait for a stop.
async fn ended(server: dev::Server, shutdown: &Shutdown) -> std::io::Result<()> {
    let outcome = server.await;
    shutdown.request();
    outcome
}

/// A compressed answer goes out in pieces. With Nagle's algorithm the second waits until the client acknowledges the
/// first, which clients delay by 40 ms: a live answer of 8 ms took 48.
fn send_at_once(connection: &dyn Any) {
    if let Some(stream) = connection.downcast_ref::<TcpStream>() {
        stream.set_nodelay(true).ok();
    }
}
