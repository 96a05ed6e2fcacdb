//! A site's secret keys: who shows one may list visitors and write notes, from anywhere. The plan knows their SHA-256 only;
//! they are compared in constant time, with all of the site's, also after one matched.
//!
//! A key comes as `X-Secret-Key`, or as the user name of Basic authorization (`curl -u KEY:`). `Authorization: Bearer`
//! is the console's own token. Behind a proxy that asks for Basic authorization itself every request carries a user
//! name: one that is no key is none, where something else than a key may open too ([`opens`]).

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use funnel::Plan;
use sha2::{Digest, Sha256};

use crate::api_error::ApiError;

/// The header of a secret key.
pub(crate) const HEADER: &str = "x-secret-key";

/// The key that a request shows.
pub(crate) fn shown(headers: &HeaderMap) -> Option<String> {
    by_header(headers).or_else(|| by_basic(headers))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn by_header(headers: &HeaderMap) -> Option<String> {
    text(headers, HEADER).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty())
}

fn by_basic(headers: &HeaderMap) -> Option<String> {
    runtime::basic_user_name(text(headers, AUTHORIZATION.as_str())?).filter(|key| !key.is_empty())
}

/// Whether a request shows a secret key of the site, where the console's token or this machine may do instead: `false`
/// when it shows none, or a user name that is no key.
///
/// # Errors
/// [`ApiError::WrongSecretKey`] when it names a wrong one in the keys' own header.
pub(crate) fn opens(plan: &Plan, site: &str, request: &HttpRequest) -> Result<bool, ApiError> {
    let headers = request.headers();
    match (required(plan, site, request), by_header(headers)) {
        (Ok(()), _) => Ok(true),
        (Err(refused), Some(_)) => Err(refused),
        (Err(_), None) => Ok(false),
    }
}

/// Refuses whoever does not show a secret key of the site.
///
/// # Errors
/// [`ApiError::SecretKeyNeeded`] or [`ApiError::WrongSecretKey`].
pub(crate) fn required(plan: &Plan, site: &str, request: &HttpRequest) -> Result<(), ApiError> {
    let key = shown(request.headers()).ok_or(ApiError::SecretKeyNeeded)?;
    match is_of(plan, site, &key) {
        true => Ok(()),
        false => Err(ApiError::WrongSecretKey),
    }
}

fn is_of(plan: &Plan, site: &str, key: &str) -> bool {
    let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    plan.site(site).is_some_and(|site| site.has_secret_key(&hash))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_key_opens_its_own_site_only() {
        let plan = Plan::parse("plan", include_str!("../../../examples/demo/tracking-plan.toml")).unwrap();
        assert!(is_of(&plan, "shop", "sk_shop_demo"));
        for (site, key) in
            [("ladder", "sk_shop_demo"), ("shop", "wk_shop_demo"), ("shop", ""), ("none", "sk_shop_demo")]
        {
            assert!(!is_of(&plan, site, key), "{site} {key}");
        }
    }

    #[test]
    fn a_key_is_shown_in_its_header_or_as_a_user_name_and_never_as_bearer() {
        let shown_by = |name: &str, value: &str| {
            shown(TestRequest::default().insert_header((name, value)).to_http_request().headers())
        };
        let basic = format!("Basic {}", STANDARD.encode("sk:"));
        assert_eq!(shown_by("X-Secret-Key", " sk ").as_deref(), Some("sk"));
        assert_eq!(shown_by("Authorization", &basic).as_deref(), Some("sk"));
        assert_eq!(shown_by("Authorization", "Bearer sk"), None);
        assert_eq!(shown_by("Authorization", "Basic %%%"), None);
        assert_eq!(shown_by("X-Secret-Key", ""), None);
    }
}
