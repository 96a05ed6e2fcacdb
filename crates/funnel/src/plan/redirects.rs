//! Where the links of a site may lead: `[[sites]] redirects`. Who counts a click and sends the visitor on asks
//! [`Site::destination`], and sends them to the address that it gives back, never to the text that was asked for: what
//! was checked and what browsers follow is then the same, however the text was written.
//!
//! Addresses are read as browsers read them (the WHATWG's URL standard).

use url::Url;

use super::Site;
use super::limits::MAX_DESTINATION_BYTES;

/// An address, and everything below its path, that links may lead to: `https://shop.example/sale/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect(Url);

/// Why a text is no [`Redirect`]; what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotARedirect {
    /// It cannot be read as `https://host/path` or `http://host/path`, or is a pattern.
    Unreadable,
    /// It has a user name or a password.
    Credentials,
    /// It has a query or a fragment, which a destination brings itself.
    Query,
}

impl Redirect {
    /// Reads an address.
    ///
    /// # Errors
    /// When links could not be compared with it.
    pub fn parse(text: &str) -> Result<Self, NotARedirect> {
        // A pattern in the host would be taken for a name, and never match.
        let url = readable(text).filter(|_| !text.contains('*')).ok_or(NotARedirect::Unreadable)?;
        if has_credentials(&url) {
            return Err(NotARedirect::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(NotARedirect::Query);
        }
        Ok(Self(url))
    }

    /// As browsers write it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn allows(&self, url: &Url) -> bool {
        self.0.scheme() == url.scheme()
            && self.0.host() == url.host()
            && self.0.port() == url.port()
            && is_below(self.0.path(), url.path())
    }
}

impl Site {
    /// The address of a destination that the site's links may lead to.
    pub fn destination(&self, to: &str) -> Option<Url> {
        let url = readable(to).filter(|url| !has_credentials(url))?;
        self.redirects.iter().any(|redirect| redirect.allows(&url)).then_some(url)
    }
}

/// An absolute address of the web. What browsers read over or put right (spaces, tabs, backslashes, missing slashes) is
/// not taken: nobody writes it but to mislead.
fn readable(text: &str) -> Option<Url> {
    let is_odd = |letter: char| letter.is_control() || letter.is_whitespace() || letter == '\\';
    if text.len() > MAX_DESTINATION_BYTES || text.chars().any(is_odd) {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if !is_web || rest.starts_with('/') {
        return None;
    }
    Url::parse(text).ok().filter(Url::has_host)
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether a path is `base` or below it, by whole segments. Below more than the root, an encoded slash or dot is not
/// taken: a server that decodes it would climb out again.
fn is_below(base: &str, path: &str) -> bool {
    if base == "/" {
        return true;
    }
    let Some(rest) = path.strip_prefix(base) else { return false };
    let at_segment = base.ends_with('/') || rest.is_empty() || rest.starts_with('/');
    let path = path.to_ascii_lowercase();
    at_segment && !["%2f", "%5c", "%2e"].iter().any(|encoded| path.contains(encoded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;
    use proptest::prelude::*;

    fn site() -> Site {
        let text = r#"
[[sites]]
id = "shop"
write_keys = ["wk"]
redirects = ["https://shop.example/", "http://localhost:3000/go", "https://partner.example/sale/"]
"#;
        Plan::parse("plan.toml", text).unwrap().sites.remove(0)
    }

    #[test]
    fn a_destination_is_what_the_plan_lists_and_what_lies_below() {
        let long = format!("https://shop.example/{}", "a".repeat(MAX_DESTINATION_BYTES));
        let allowed = [
            ("https://shop.example", "https://shop.example/"),
            ("https://shop.example/a/b?c=d#e", "https://shop.example/a/b?c=d#e"),
            ("HTTPS://SHOP.EXAMPLE/A", "https://shop.example/A"),
            ("https://shop.example:443/", "https://shop.example/"),
            ("https://shop。example/", "https://shop.example/"),
            ("https://shop.example/a/../b", "https://shop.example/b"),
            // All of it is the shop's: where its own pages lead is not decided here.
            ("https://shop.example//evil.example/", "https://shop.example//evil.example/"),
            ("https://shop.example/%2f%2fevil.example", "https://shop.example/%2f%2fevil.example"),
            (
                "https://shop.example/?next=https://evil.example",
                "https://shop.example/?next=https://evil.example",
            ),
            ("https://shop.example?@evil.example/", "https://shop.example/?@evil.example/"),
            ("https://shop.example#@evil.example/", "https://shop.example/#@evil.example/"),
            ("https://shop.example/ü", "https://shop.example/%C3%BC"),
            ("http://localhost:3000/go", "http://localhost:3000/go"),
            ("http://localhost:3000/go/on?x", "http://localhost:3000/go/on?x"),
            ("https://partner.example/sale/may", "https://partner.example/sale/may"),
        ];
        for (to, address) in allowed {
            assert_eq!(site().destination(to).map(String::from).as_deref(), Some(address), "{to}");
        }
        let refused = [
            "",
            "/",
            "/a",
            "a",
            "//evil.example",
            "//shop.example",
            "///evil.example",
            "https:shop.example",
            "https:/shop.example",
            "https:///shop.example",
            "https:///evil.example",
            "https:\\\\shop.example",
            "https://shop.example\\@evil.example",
            "https://evil.example\\@shop.example",
            "https://evil.example\\.shop.example",
            "\\\\evil.example",
            "/\\evil.example",
            "https://evil.example",
            "https://evil.example/https://shop.example/",
            "https://evil.example/?https://shop.example/",
            "https://evil.example#https://shop.example/",
            "https://shop.example@evil.example/",
            "https://shop.example:443@evil.example/",
            "https://shop.example%40evil.example/",
            "https://shop.example%2f@evil.example/",
            "https://user@shop.example/",
            "https://user:password@shop.example/",
            "https://:password@shop.example/",
            "https://shop.example.evil.example/",
            "https://shop.example。evil.example/",
            "https://shop.example．evil.example/",
            "https://evilshop.example/",
            "https://www.shop.example/",
            "https://shop.example./",
            "https://shop.example%00.evil.example/",
            "https://shop.example:8443/",
            "https://shop.example:444/",
            "http://shop.example/",
            "ftp://shop.example/",
            "javascript:alert(1)",
            "javascript://shop.example/%0aalert(1)",
            "JaVaScRiPt://shop.example/%0aalert(1)",
            "data:text/html,<script>alert(1)</script>",
            "data://shop.example/,x",
            "vbscript://shop.example/",
            "file://shop.example/etc/passwd",
            "blob:https://shop.example/x",
            "view-source:https://shop.example/",
            " https://shop.example/",
            "https://shop.example/\t",
            "ht\ttps://shop.example/",
            "https://shop.exam\nple/",
            "https://shop.example/\r\nSet-Cookie: a=b",
            "https://shop.example/\0",
            "https://shop.example/\u{a0}",
            "https%3a%2f%2fshop.example/",
            "%2f%2fevil.example",
            "https://%65vil.example/",
            "https://[::1]/",
            "https://0x7f.1/",
            "http://localhost/go",
            "http://localhost:3000/",
            "http://localhost:3000/gone",
            "http://localhost:3000/go/../admin",
            "http://localhost:3000/go/%2e%2e/admin",
            "http://localhost:3000/go/..%2fadmin",
            "http://localhost:3000/go/..%5cadmin",
            "http://localhost:3000/go%2f..%2fadmin",
            "http://localhost:3000//go/",
            "https://partner.example/sale",
            "https://partner.example/sale/..%2F",
            long.as_str(),
        ];
        for to in refused {
            assert_eq!(site().destination(to).map(String::from), None, "{to:?}");
        }
        assert_eq!(Site { redirects: vec![], ..site() }.destination("https://shop.example/"), None);
    }

    proptest! {
        /// Whatever is written around a listed host, the address that comes out has a listed origin.
        #[test]
        fn no_text_leads_anywhere_else(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "https:", "http:", "//", "/", "\\", "@", "shop.example", "evil.example", "localhost:3000", "go", "..",
                    ".", "%2e", "%2f", "%5c", "%40", "%00", ":", "443", "?", "#", "\t", " ", "。", "javascript:", "%",
                ]),
                0..9,
            ),
        ) {
            if let Some(url) = site().destination(&parts.concat()) {
                let origin = url.origin().ascii_serialization();
                prop_assert!(
                    origin == "https://shop.example" || (origin == "http://localhost:3000" && url.path().starts_with("/go")),
                    "{url}"
                );
                prop_assert_eq!((url.username(), url.password()), ("", None));
                prop_assert_eq!(Url::parse(url.as_str()).unwrap(), url);
            }
        }
    }
}
