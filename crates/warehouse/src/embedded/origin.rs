//! Refuses what a web page sends: the interface has no password, so a page open in this machine's browser must not
//! reach it, neither directly (a cross-site POST) nor through a host name that points at loopback (DNS rebinding).
//!
//! Programs send no `Origin` and name a loopback host, so they never notice.

use actix_web::http::header::{HOST, HeaderMap, HeaderValue, ORIGIN};

use super::EmbeddedError;

/// # Errors
/// A 403 with the reason.
pub(super) fn check(headers: &HeaderMap) -> Result<(), EmbeddedError> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or("?").to_owned();
    let host = headers.get(HOST).map(text).unwrap_or_default();
    if !host.is_empty() && !is_loopback(&host) {
        return Err(refused(format!(
            "the embedded ClickHouse answers to loopback host names only, not to '{host}'"
        )));
    }
    match headers.get(ORIGIN).map(text) {
        Some(origin) if !origin.split_once("://").is_some_and(|(_, host)| is_loopback(host)) => {
            Err(refused(format!("requests from web pages are refused (Origin '{origin}')")))
        }
        _ => Ok(()),
    }
}

fn refused(message: String) -> EmbeddedError {
    EmbeddedError::request(497, message)
}

/// Is this `host[:port]` of this machine?
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name.parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts_are_known_in_every_spelling() {
        for host in ["localhost", "LOCALHOST:8123", "127.0.0.1:1", "127.1.2.3", "[::1]:8123"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
