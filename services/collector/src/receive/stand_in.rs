//! Who an event is of that names nobody, on a site that asks for no ids: whoever sends from the same address with the same
//! browser on the same day. The id is made of these with the day's salt, and neither address nor salt is kept, so
//! that it leads back to nobody and ends at midnight UTC. Others are told apart as well as an address tells them: two
//! people behind one address with one kind of browser are one.

use std::net::IpAddr;

use actix_web::http::header::USER_AGENT;
use event_log::salts::Salt;
use sha2::{Digest, Sha256};

use super::Incoming;
use crate::draft::Parsed;
use crate::keys::Caller;
use crate::refusal::Refusal;

/// So that people can tell such ids from others.
const PREFIX: &str = "day.";
/// Hexadecimal digits: 96 bits.
const DIGITS: usize = 24;

impl Incoming<'_> {
    /// The id for those of a request's events that bring none; `None` where the site wants ids, where every event has one,
    /// and where a server sends, whose address is not the visitor's.
    ///
    /// # Errors
    /// [`Refusal::NoSalt`] while the day's salt is not known: without it the visitor would count twice.
    pub(super) fn stand_in(
        &self,
        caller: Caller<'_>,
        parsed: &Parsed<'_>,
        received_at_ms: i64,
    ) -> Result<Option<String>, Refusal> {
        let nameless = || parsed.events.iter().flatten().any(|draft| draft.is_nameless());
        if !caller.site.policy.cookieless || caller.is_secret || !nameless() {
            return Ok(None);
        }
        let Some(address) = self.address() else { return Ok(None) };
        let known = self.state.salts.borrow();
        let salt = known.as_deref().and_then(|salts| salts.at(received_at_ms)).ok_or(Refusal::NoSalt)?;
        Ok(Some(id(salt, &caller.site.id, address, self.header(&USER_AGENT))))
    }
}

fn id(salt: &Salt, site: &str, address: IpAddr, user_agent: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(salt.bytes());
    hash.update([u8::try_from(site.len()).unwrap_or(u8::MAX)]);
    hash.update(site);
    hash.update(household(address));
    hash.update(user_agent);
    let mut id = format!("{PREFIX}{:x}", hash.finalize());
    id.truncate(PREFIX.len() + DIGITS);
    id
}

/// Of an IPv6 address the half that a connection keeps: browsers change the other one by themselves.
fn household(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => (address.to_bits() >> 64 << 64).to_be_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_day_site_address_and_browser() {
        let (today, tomorrow) = (Salt::random(), Salt::random());
        let of = |salt: &Salt, site: &str, address: &str, agent: &str| {
            id(salt, site, address.parse().unwrap(), agent)
        };
        let first = of(&today, "shop", "192.0.2.1", "Firefox");
        assert_eq!(first, of(&today, "shop", "192.0.2.1", "Firefox"));
        assert_eq!(first, of(&today, "shop", "::ffff:192.0.2.1", "Firefox"));
        assert!(first.starts_with("day.") && first.len() == PREFIX.len() + DIGITS);
        let others = [
            of(&tomorrow, "shop", "192.0.2.1", "Firefox"),
            of(&today, "blog", "192.0.2.1", "Firefox"),
            of(&today, "shop", "192.0.2.2", "Firefox"),
            of(&today, "shop", "192.0.2.1", "Safari"),
        ];
        assert!(others.iter().all(|other| *other != first), "{others:?}");
    }

    #[test]
    fn a_browser_that_changes_its_ipv6_address_stays_the_same_visitor() {
        let salt = Salt::random();
        let of = |address: &str| id(&salt, "shop", address.parse().unwrap(), "Firefox");
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
