//! Who sent a request, as far as its head and its connection tell: the site of its key, the visitor's device, country and
//! address. The address is used at once and never stored.

use std::net::IpAddr;
use std::rc::Rc;

use actix_web::http::header::{ORIGIN, USER_AGENT};

use super::Incoming;
use crate::cors;
use crate::derive::user_agent::{self, Agent};
use crate::keys::{self, Caller, Keys};
use crate::refusal::Refusal;

impl Incoming<'_> {
    /// The site of the request's key, if the browser's origin may send to it.
    pub(super) fn caller<'k>(&self, keys: &'k Keys, in_body: Option<&str>) -> Result<Caller<'k>, Refusal> {
        let in_head = keys::in_head(self.headers(), self.request.query_string());
        let caller = keys.caller(in_head.as_deref().or(in_body).unwrap_or_default())?;
        cors::check(self.headers().get(ORIGIN), &caller.site.origins)?;
        Ok(caller)
    }

    /// From a browser's own header; a server's User-Agent is not the visitor's.
    pub(super) fn agent(&self, caller: Caller<'_>) -> Option<Rc<Agent>> {
        let header = self.header(&USER_AGENT);
        let is_visitors = !caller.is_secret && user_agent::is_browser(header);
        is_visitors.then(|| user_agent::agent(header))
    }

    pub(super) fn country(&self) -> String {
        let header = self.state.country_header.as_ref().map(|name| self.header(name)).unwrap_or_default();
        let is_code = header.len() == 2 && header.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_code { header.to_ascii_uppercase() } else { String::new() }
    }

    /// The visitor's address: of the connection, or as the reverse proxy names it. Of a list the last entry counts, which
    /// is the proxy's own; what stands before it anybody can write.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match &self.state.address_header {
            None => self.request.peer_addr().map(|peer| peer.ip()),
            Some(name) => {
                let named = self.headers().get_all(name).last()?.to_str().ok()?;
                read_address(named.rsplit(',').next()?.trim())
            }
        }
    }
}

/// An address as proxies write it, with or without a port.
fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').split(']').next()?;
    let without_port = || text.parse::<std::net::SocketAddr>().map(|address| address.ip());
    bare.parse().or_else(|_| without_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
        ] {
            assert_eq!(read_address(text), address.parse().ok(), "{text}");
        }
        for text in ["", "unknown", "192.0.2", "_hidden"] {
            assert_eq!(read_address(text), None, "{text}");
        }
    }
}
