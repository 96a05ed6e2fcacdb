//! A page's URL taken apart as far as it is needed, in one pass: its host, what of it is stored, its parameters. Reads
//! whatever clients send, also what is no URL; nothing is copied unless it is encoded or in upper case.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// A URL, cut at its query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address<'a> {
    url: &'a str,
    /// Up to its query or fragment.
    page: &'a str,
}

impl<'a> Address<'a> {
    pub(crate) fn of(url: &'a str) -> Self {
        let end = memchr2(b'?', b'#', url.as_bytes()).unwrap_or(url.len());
        Self { url, page: url.get(..end).unwrap_or_default() }
    }

    /// Without query and fragment; nothing of a URL with a user or password in it.
    pub(crate) fn stored(self) -> &'a str {
        let rest = after_scheme(self.page).unwrap_or(self.page);
        if up_to(b'/', rest).contains('@') { "" } else { self.page }
    }

    /// The host in lower case, without user and port; empty if there is none.
    pub(crate) fn host(self) -> Cow<'a, str> {
        // What is no URL may have one in its query.
        let rest = after_scheme(self.page).map(|rest| up_to(b'/', rest));
        let authority = rest.or_else(|| {
            after_scheme(self.url).map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default())
        });
        let authority = authority.unwrap_or_default();
        let is_plain = |byte| !matches!(byte, b'@' | b':' | b'A'..=b'Z');
        if authority.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
            return Cow::Borrowed(authority);
        }
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = if host.starts_with('[') { host } else { up_to(b':', host) };
        Cow::Owned(host.to_ascii_lowercase())
    }

    /// The parameters of its query that have a value. Only what is encoded is decoded: most is not.
    pub(crate) fn parameters(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        let query = self.query();
        let is_encoded = memchr2(b'%', b'+', query.as_bytes()).is_some();
        let (encoded, plain) = if is_encoded { (query, "") } else { ("", query) };
        let decoded = url::form_urlencoded::parse(encoded.as_bytes());
        let pairs = decoded.chain(plain_pairs(plain).map(|(name, value)| (name.into(), value.into())));
        pairs.filter(|(_, value)| !value.is_empty())
    }

    fn query(self) -> &'a str {
        let rest = self.url.get(self.page.len()..).unwrap_or_default();
        let query = match rest.strip_prefix('?') {
            Some(query) => query,
            None => rest.split_once('?').map_or("", |(_, query)| query),
        };
        up_to(b'#', query)
    }
}

fn after_scheme(url: &str) -> Option<&str> {
    let usual = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    usual.or_else(|| url.split_once("://").map(|(_, rest)| rest))
}

/// The text before the first `end`, or all of it.
fn up_to(end: u8, text: &str) -> &str {
    memchr(end, text.as_bytes()).and_then(|at| text.get(..at)).unwrap_or(text)
}

fn plain_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = query;
    std::iter::from_fn(move || {
        let pair = (!rest.is_empty()).then(|| up_to(b'&', rest))?;
        rest = rest.get(pair.len() + 1..).unwrap_or_default();
        let name = up_to(b'=', pair);
        Some((name, pair.get(name.len() + 1..).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_are_read_from_urls() {
        let cases = [
            ("https://u:p@Shop.Example:8080/a?b#c", "shop.example"),
            ("https://shop.example?a=b", "shop.example"),
            ("android-app://com.google.android.gm/", "com.google.android.gm"),
            ("https://[::1]:80/", "[::1]:80"),
            ("shop.example", ""),
            ("share?link=https://shop.example/a", "shop.example"),
        ];
        for (url, host) in cases {
            assert_eq!(Address::of(url).host(), host, "{url}");
        }
    }

    #[test]
    fn of_a_url_is_stored_what_stands_before_its_query() {
        let cases = [
            ("https://shop.example/a?token=1#x", "https://shop.example/a"),
            ("/a#x", "/a"),
            ("https://u:p@shop.example/a", ""),
            ("https://shop.example/@me", "https://shop.example/@me"),
        ];
        for (url, stored) in cases {
            assert_eq!(Address::of(url).stored(), stored, "{url}");
        }
    }

    proptest! {
        #[test]
        fn parameters_are_those_that_a_browser_would_read(url in "[a-c/#]{0,5}[?]{0,2}[a-c=&%+2f0é#]{0,30}") {
            let query = url.split_once('?').map_or("", |(_, query)| query);
            let query = query.split_once('#').map_or(query, |(query, _)| query);
            let expected = url::form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty());
            prop_assert!(Address::of(&url).parameters().eq(expected), "{url}");
        }

        #[test]
        fn a_host_is_what_stands_after_the_scheme(url in "(https://)?[a@:/?#A.]{0,12}(://)?[a@:/?#A.]{0,12}") {
            let rest = url.split_once("://").map_or("", |(_, rest)| rest);
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
            prop_assert_eq!(Address::of(&url).host(), host, "{}", url);
        }
    }
}
