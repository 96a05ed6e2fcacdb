//! The port and the HTTP server behind it. Every connection has a [`Place`](crate::places::Place) before a byte of it is read, and is a
//! [`Connection`] to the server, which ends it when it only holds that place. What limits connections, in this order: the
//! system's descriptors, `max_connections` (further ones wait in the system's queue), `address_share` (further ones are
//! closed at once), `head_timeout`, `BODY_TIMEOUT_MS`, `ANSWER_TIMEOUT_MS`, `KEEP_ALIVE_MS`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use actix_web::web::{self, Data};
use runtime::descriptors;
use runtime::settings::CollectorSettings;
use socket2::{Domain, Protocol as Transport, Socket, Type};

use crate::connection::Connection;
use crate::limits::{DRAIN_MS, KEEP_ALIVE_MS};
use crate::places::Places;
use crate::receive::{State, receive};
use crate::server::CollectorError;

/// Connections that were not accepted yet, at most; the system may allow fewer.
const BACKLOG: i32 = 2_048;
/// Descriptors for everything that is no connection (log, Kafka, ClickHouse), or a quarter of those that there are.
const OTHER_DESCRIPTORS: u64 = 1_000;
/// How long the server waits for a client to hear that it is closed.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens the port; connections are taken as soon as the server is polled.
pub(crate) fn listen(state: &Data<State>) -> Result<(SocketAddr, Server), CollectorError> {
    let settings = &state.settings;
    let address = settings.listen;
    let failed = |source| CollectorError::Listen { address, source };
    let listener = bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let workers = match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    };
    let max_connections = max_connections(settings, descriptors::limit());
    let metrics = &state.metrics;
    let max_of_address = max_of_address(settings, max_connections);
    let places =
        Places::new(max_of_address, metrics.connections.clone(), metrics.refused_connections.clone());
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(max_connections.div_ceil(workers))
        .shutdown_timeout(DRAIN_MS / 1_000)
        .disable_signals();
    let (state, stops) = (state.clone(), builder.graceful_shutdown_signal());
    let builder = builder
        .listen("collector", listener, move || serve(state.clone(), places.clone(), stops.clone()))
        .map_err(failed)?;
    Ok((bound, builder.run()))
}

/// As many as the settings say and the system has descriptors for.
fn max_connections(settings: &CollectorSettings, descriptors: Option<u64>) -> usize {
    let wanted = settings.max_connections;
    let Some(descriptors) = descriptors else { return wanted };
    let possible = descriptors - OTHER_DESCRIPTORS.min(descriptors / 4);
    let possible = usize::try_from(possible).unwrap_or(usize::MAX).max(1);
    if possible < wanted {
        tracing::warn!(
            descriptors,
            connections = possible,
            "[collector] max_connections is more than the system gives descriptors for; further connections wait. Raise \
             the limit of open files (LimitNOFILE, ulimit -n) or lower the setting"
        );
    }
    wanted.min(possible)
}

/// Behind a proxy that tells the clients' addresses all connections are the proxy's.
fn max_of_address(settings: &CollectorSettings, max_connections: usize) -> usize {
    match settings.address_header {
        Some(_) => max_connections,
        None => (max_connections * settings.address_share_percent / 100).max(1),
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Transport::TCP))?;
    // A restart must not wait for the connections of the process before.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What a worker does with a connection.
fn serve(
    state: Data<State>,
    places: Places,
    stops: GracefulShutdownSignal,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> {
    let head_timeout = Duration::from_millis(state.settings.head_timeout_ms);
    let app = App::new().app_data(state).default_service(web::to(receive));
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let stops = stops.clone();
            async move { stops.notified().await }
        })
        .keep_alive(Duration::from_millis(KEEP_ALIVE_MS))
        .client_request_timeout(head_timeout)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .on_connect_ext(|connection: &Connection<TcpStream>, data| drop(data.insert(connection.phase())))
        .finish(map_config(app, |()| AppConfig::default()));
    fn_service(move |stream: TcpStream| {
        let places = places.clone();
        async move {
            let peer = stream.peer_addr().ok();
            let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
            let place = places.take(address).ok_or(DispatchError::Io(io::ErrorKind::QuotaExceeded.into()))?;
            Ok((Connection::new(stream, head_timeout, place), Protocol::Http1, peer))
        }
    })
    .and_then(http)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_connections_than_descriptors_beside_what_else_needs_them() {
        let settings = CollectorSettings { max_connections: 10_000, ..CollectorSettings::default() };
        for (descriptors, connections) in
            [(None, 10_000), (Some(65_536), 10_000), (Some(10_999), 9_999), (Some(1_024), 768), (Some(1), 1)]
        {
            assert_eq!(max_connections(&settings, descriptors), connections, "{descriptors:?}");
        }
    }

    #[test]
    fn an_address_has_its_share_but_a_proxy_that_tells_addresses_has_all() {
        let mut settings = CollectorSettings { address_share_percent: 50, ..CollectorSettings::default() };
        assert_eq!(max_of_address(&settings, 1_000), 500);
        assert_eq!(max_of_address(&settings, 1), 1);
        settings.address_header = Some("x-real-ip".to_owned());
        assert_eq!(max_of_address(&settings, 1_000), 1_000);
    }
}
