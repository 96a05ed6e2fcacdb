//! Who may read: whoever has the token; where none is set, everybody on this machine. Where one is set, being here is not
//! enough: a proxy beside the console need not say that it is one. A request counts as local if it comes from a loopback
//! address, no proxy forwarded it, and its Host header names this machine: otherwise a web page could read the numbers
//! through its visitor's browser (DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HOST, ORIGIN};
use subtle::ConstantTimeEq;

use crate::api_error::ApiError;
use crate::params::Params;

/// What a request says about its sender.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caller<'a> {
    pub peer: Option<IpAddr>,
    /// A proxy's header is there: the peer is the proxy.
    pub forwarded: bool,
    pub host: Option<&'a str>,
    pub token: Option<&'a str>,
}

/// Lets a caller in or says why not.
///
/// # Errors
/// [`ApiError::TokenNeeded`], [`ApiError::WrongToken`], [`ApiError::LoopbackOnly`] or [`ApiError::ForeignHost`].
pub fn admit(token: Option<&str>, caller: &Caller<'_>) -> Result<(), ApiError> {
    match (token, caller.token) {
        (Some(expected), Some(sent)) if is_same(expected, sent) => return Ok(()),
        (Some(_), Some(_)) => return Err(ApiError::WrongToken),
        (Some(_), None) => return Err(ApiError::TokenNeeded),
        (None, _) => {}
    }
    let is_local = caller.peer.is_some_and(|peer| peer.to_canonical().is_loopback()) && !caller.forwarded;
    match is_local {
        true if names_this_machine(caller.host) => Ok(()),
        true => Err(ApiError::ForeignHost { host: caller.host.unwrap_or_default().to_owned() }),
        false => Err(ApiError::LoopbackOnly),
    }
}

/// Headers by which proxies say that they are there.
const FORWARDED: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// Admits a request of actix.
pub(crate) fn admit_request(token: Option<&str>, request: &HttpRequest) -> Result<(), ApiError> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let params = Params::of(request);
    let bearer = header(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let caller = Caller {
        peer: request.peer_addr().map(|address| address.ip()),
        forwarded: FORWARDED.iter().any(|name| header(name).is_some()),
        host: header(HOST.as_str()).or(authority),
        token: bearer.map(str::trim).or_else(|| params.get("token")),
    };
    admit(token, &caller)
}

/// Lets a caller write who may read. A page of another origin, which could write through its visitor's browser, is
/// refused.
///
/// # Errors
/// Those of [`admit`], and [`ApiError::ForeignOrigin`].
pub(crate) fn admit_writer(token: Option<&str>, request: &HttpRequest) -> Result<(), ApiError> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = header(HOST.as_str());
    if header(ORIGIN.as_str()).is_some_and(|origin| origin.split_once("://").map(|(_, rest)| rest) != host) {
        return Err(ApiError::ForeignOrigin);
    }
    admit_request(token, request)
}

/// In a time that does not tell how much of it is right.
fn is_same(expected: &str, sent: &str) -> bool {
    expected.as_bytes().ct_eq(sent.as_bytes()).into()
}

fn names_this_machine(host: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || name.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(host: &str) -> Caller<'_> {
        Caller { peer: Some(Ipv4Addr::LOCALHOST.into()), host: Some(host), ..Caller::default() }
    }

    fn remote<'a>(token: Option<&'a str>) -> Caller<'a> {
        Caller {
            peer: Some(Ipv4Addr::new(10, 0, 0, 9).into()),
            host: Some("console.example"),
            token,
            ..Caller::default()
        }
    }

    fn code(outcome: Result<(), ApiError>) -> &'static str {
        outcome.map_or_else(|error| error.code(), |()| "ok")
    }

    #[test]
    fn this_machine_needs_no_token_where_none_is_set() {
        for host in ["localhost:8081", "127.0.0.1", "[::1]:8081", "LOCALHOST", "127.8.0.1:80"] {
            assert_eq!(code(admit(None, &local(host))), "ok", "{host}");
            assert_eq!(
                code(admit(Some("s3cret"), &local(host))),
                "token_needed",
                "{host}: it may be a proxy"
            );
        }
        let v6 = Caller { peer: Some("::ffff:127.0.0.1".parse().unwrap()), ..local("localhost") };
        assert_eq!(code(admit(None, &v6)), "ok");
    }

    #[test]
    fn a_page_that_points_its_name_at_this_machine_is_refused() {
        for host in ["evil.example", "localhost.evil.example:8081", "127.0.0.1.evil.example", ""] {
            assert_eq!(code(admit(None, &local(host))), "foreign_host", "{host}");
        }
        assert_eq!(code(admit(None, &Caller { host: None, ..local("") })), "foreign_host");
    }

    #[test]
    fn others_need_the_token_and_without_one_nobody_else_gets_in() {
        assert_eq!(code(admit(None, &remote(None))), "loopback_only");
        assert_eq!(code(admit(None, &remote(Some("guess")))), "loopback_only");
        assert_eq!(code(admit(Some("s3cret"), &remote(None))), "token_needed");
        assert_eq!(code(admit(Some("s3cret"), &remote(Some("s3cre")))), "wrong_token");
        assert_eq!(code(admit(Some("s3cret"), &remote(Some("s3cret")))), "ok");
    }

    #[test]
    fn what_a_proxy_on_this_machine_forwards_is_not_local() {
        let caller = Caller { forwarded: true, ..local("localhost") };
        assert_eq!(code(admit(None, &caller)), "loopback_only");
        assert_eq!(code(admit(Some("s3cret"), &caller)), "token_needed");
    }
}
