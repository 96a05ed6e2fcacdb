//! The HTTP client below the ClickHouse client: [`plain`], or where an authority of one's own signed the server's
//! certificate (`[clickhouse] ca_file`) [`trusting`]. Otherwise the ClickHouse client's own trusts the system's authorities.

use std::path::Path;
use std::time::Duration;

use clickhouse::Client;
use hyper_tls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use native_tls::{Certificate, TlsConnector};

use crate::error::WarehouseError;

const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Less than ClickHouse itself waits for the next request of a connection (3 s by default).
const IDLE: Duration = Duration::from_secs(2);

/// A client for `http://` alone: it need not read the system's authorities, which takes longer than connecting.
pub(crate) fn plain() -> Client {
    let client = legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector());
    Client::with_http_client(client)
}

fn connector() -> HttpConnector {
    let mut http = HttpConnector::new();
    http.set_keepalive(Some(TCP_KEEPALIVE));
    http
}

/// A client that trusts the authorities of a file (PEM) beside the system's.
///
/// # Errors
/// When the file cannot be read or holds no certificates.
pub(crate) fn trusting(ca_file: &Path) -> Result<Client, WarehouseError> {
    let wrong = |reason: String| WarehouseError::Settings {
        reason: format!("ca_file {}: {reason}", ca_file.display()),
    };
    let pem = std::fs::read(ca_file).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    let mut tls = TlsConnector::builder();
    for certificate in certificates(&pem) {
        let certificate = Certificate::from_pem(certificate)
            .map_err(|error| wrong(format!("a certificate cannot be read: {error}")))?;
        tls.add_root_certificate(certificate);
    }
    if certificates(&pem).next().is_none() {
        return Err(wrong("it holds no certificate; PEM begins with -----BEGIN CERTIFICATE-----".to_owned()));
    }
    let tls = tls.build().map_err(|error| wrong(error.to_string()))?;
    let mut http = connector();
    http.enforce_http(false);
    let https = HttpsConnector::from((http, tls.into()));
    let client = legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(https);
    Ok(Client::with_http_client(client))
}

/// Each certificate of a bundle, with its lines of beginning and end.
fn certificates(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let mut rest = pem;
    std::iter::from_fn(move || {
        let at = find(rest, BEGIN)?;
        let from = rest.get(at..)?;
        let next = find(from.get(BEGIN.len()..)?, BEGIN).map_or(from.len(), |next| BEGIN.len() + next);
        rest = from.get(next..)?;
        from.get(..next)
    })
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_taken_apart() {
        let bundle = b"notes\n-----BEGIN CERTIFICATE-----\na\n-----BEGIN CERTIFICATE-----\nb\n";
        let found: Vec<_> = certificates(bundle).collect();
        assert_eq!(found, [&b"-----BEGIN CERTIFICATE-----\na\n"[..], b"-----BEGIN CERTIFICATE-----\nb\n"]);
        assert_eq!(certificates(b"none").count(), 0);
    }
}
