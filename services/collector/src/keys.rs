//! Who sends: the key in a request and the site that it belongs to. Write keys are public (they sit in pages) and
//! looked up in a map; secret keys are known only by their SHA-256 and compared in constant time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use funnel::Plan;
use funnel::plan::Site;
use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::metrics::Metrics;
use crate::refusal::Refusal;

const X_WRITE_KEY: HeaderName = HeaderName::from_static("x-write-key");
const OPENPANEL_CLIENT_ID: HeaderName = HeaderName::from_static("openpanel-client-id");

/// The keys of a plan, prepared for lookup.
#[derive(Debug)]
pub(crate) struct Keys {
    plan: Arc<Plan>,
    /// In the order of the plan's sites.
    accounts: Vec<Account>,
    write_keys: HashMap<String, usize>,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) site: &'a Site,
    pub(crate) account: &'a Account,
    /// Whether the key was a secret one.
    pub(crate) is_secret: bool,
}

impl Keys {
    /// `max_share` are the bytes in flight that a site may have where there are several. Accounts go on from those of the
    /// keys `before`.
    pub(crate) fn of(plan: Arc<Plan>, max_share: usize, metrics: &Metrics, before: Option<&Self>) -> Self {
        let max_share = (plan.sites.len() > 1).then_some(max_share);
        let account = |site: &Site| {
            let before = before.and_then(|before| before.account(&site.id));
            Account::of(site, max_share, metrics, before)
        };
        let accounts = plan.sites.iter().map(account).collect();
        let sites = plan.sites.iter().enumerate();
        let write_keys = sites
            .flat_map(|(index, site)| site.write_keys.iter().map(move |key| (key.clone(), index)))
            .collect();
        Self { plan, accounts, write_keys }
    }

    fn account(&self, site: &str) -> Option<&Account> {
        let index = self.plan.sites.iter().position(|known| known.id == site)?;
        self.accounts.get(index)
    }

    /// Whether sites have shares of the bytes in flight: where there are several.
    pub(crate) fn have_shares(&self) -> bool {
        self.accounts.len() > 1
    }

    /// The ids of a site's funnels, in the plan's order.
    pub(crate) fn funnels(&self, site: &str) -> Vec<String> {
        self.plan.funnels_of(site).map(|funnel| funnel.id.clone()).collect()
    }

    /// What is kept of each site.
    pub(crate) fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The site of a key.
    pub(crate) fn caller(&self, key: &str) -> Result<Caller<'_>, Refusal> {
        if key.is_empty() {
            return Err(Refusal::MissingKey);
        }
        let by_write_key = self.write_keys.get(key).and_then(|index| self.at(*index, false));
        by_write_key.or_else(|| self.by_secret(key)).ok_or(Refusal::UnknownKey)
    }

    /// Who sends with a key of the site at this place of the plan.
    fn at(&self, index: usize, is_secret: bool) -> Option<Caller<'_>> {
        Some(Caller { site: self.plan.sites.get(index)?, account: self.accounts.get(index)?, is_secret })
    }

    /// Compares with the keys of every site, also after one matched: the time tells nothing.
    fn by_secret(&self, key: &str) -> Option<Caller<'_>> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut found = None;
        for (index, site) in self.plan.sites.iter().enumerate() {
            if site.has_secret_key(&hash) {
                found = Some(index);
            }
        }
        self.at(found?, true)
    }
}

/// The key in a request's head: Basic user name, Bearer token, X-Write-Key (up to a colon), openpanel-client-id, `?key=`, in
/// this order.
pub(crate) fn in_head<'a>(headers: &'a HeaderMap, query: &'a str) -> Option<Cow<'a, str>> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    authorization
        .and_then(in_authorization)
        .or_else(|| headers.get(X_WRITE_KEY)?.to_str().ok().map(before_colon).map(Cow::Borrowed))
        .filter(|key| !key.is_empty())
        .or_else(|| headers.get(OPENPANEL_CLIENT_ID)?.to_str().ok().map(Cow::Borrowed))
        .or_else(|| in_query(query, "key"))
}

fn in_authorization(value: &str) -> Option<Cow<'_, str>> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Cow::Borrowed(rest.trim()));
    }
    runtime::basic_user_name(value).map(|name| Cow::Owned(name.trim().to_owned()))
}

fn before_colon(text: &str) -> &str {
    text.split_once(':').map_or(text, |(key, _)| key).trim()
}

/// A parameter of the query that is not empty.
pub(crate) fn in_query<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    if query.is_empty() {
        return None;
    }
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(found, value)| found == name && !value.is_empty()).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use funnel::plan::{Origins, SiteLimits, SitePolicy};

    fn keys() -> Keys {
        let site = Site {
            id: "shop".into(),
            timezone: "UTC".into(),
            write_keys: vec!["wk".into()],
            secret_keys_sha256: vec![Sha256::digest(b"sk").into()],
            origins: Origins::Any,
            retention_days: None,
            redirects: vec![],
            limits: SiteLimits::default(),
            policy: SitePolicy::default(),
            schema: None,
        };
        let metrics = Metrics::register(&runtime::Metrics::new().unwrap()).unwrap();
        Keys::of(Arc::new(Plan { sites: vec![site], funnels: vec![] }), 1, &metrics, None)
    }

    fn head(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn a_key_is_found_wherever_clients_put_it() {
        let basic = format!("Basic {}", STANDARD.encode("wk:"));
        let cases = [
            (head("authorization", &basic), ""),
            (head("authorization", "bearer wk"), ""),
            (head("x-write-key", "wk:secret"), ""),
            (head("openpanel-client-id", "wk"), ""),
            (HeaderMap::new(), "a=b&key=wk"),
            (head("authorization", "Digest x"), "key=w%6b"),
        ];
        for (headers, query) in cases {
            assert_eq!(in_head(&headers, query).as_deref(), Some("wk"), "{headers:?} {query}");
        }
        assert_eq!(in_head(&head("authorization", "Basic Og=="), ""), None);
    }

    #[test]
    fn write_and_secret_keys_lead_to_their_site() {
        let keys = keys();
        assert!(!keys.caller("wk").unwrap().is_secret);
        assert!(keys.caller("sk").unwrap().is_secret);
        assert_eq!(keys.caller("nobody").unwrap_err(), Refusal::UnknownKey);
        assert_eq!(keys.caller("").unwrap_err(), Refusal::MissingKey);
    }
}
