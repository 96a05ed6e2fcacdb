//! Device, browser and system from a browser's User-Agent (the `woothee` classifier). Reading one takes microseconds and
//! the same few come again and again, so each worker remembers them, up to a limit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use woothee::parser::Parser;

use super::bots;

use crate::limits::MAX_REMEMBERED_USER_AGENTS;

/// Browsers' and bots' have less; what is longer is read every time, and what comes after the second length not at all.
const MAX_REMEMBERED_BYTES: usize = 512;
const MAX_READ_BYTES: usize = 1_024;

/// What a User-Agent tells; empty where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Agent {
    /// `desktop`, `mobile`, `tablet`, `tv` or `bot`.
    pub(crate) device: &'static str,
    /// E.g. `Chrome`, `Safari`, `Firefox`.
    pub(crate) browser: String,
    /// E.g. `Windows 10`, `Mac OSX`, `Linux`, `iPhone`, `Android`.
    pub(crate) os: String,
    /// Whether it is a bot's.
    pub(crate) is_bot: bool,
}

thread_local! {
    static REMEMBERED: RefCell<HashMap<Box<str>, Rc<Agent>>> = RefCell::new(HashMap::new());
}

/// Reads a User-Agent of `context.userAgent` or of a browser's header.
pub(crate) fn agent(user_agent: &str) -> Rc<Agent> {
    if user_agent.len() > MAX_REMEMBERED_BYTES {
        let read = user_agent.floor_char_boundary(MAX_READ_BYTES);
        return Rc::new(classify(user_agent.get(..read).unwrap_or_default()));
    }
    REMEMBERED.with_borrow_mut(|remembered| {
        if let Some(agent) = remembered.get(user_agent) {
            return Rc::clone(agent);
        }
        if remembered.len() >= MAX_REMEMBERED_USER_AGENTS {
            remembered.clear();
        }
        let agent = Rc::new(classify(user_agent));
        remembered.insert(user_agent.into(), Rc::clone(&agent));
        agent
    })
}

/// Whether a User-Agent header is a browser's: that of a server's SDK says nothing about the visitor.
pub(crate) fn is_browser(header: &str) -> bool {
    header.starts_with("Mozilla/5.0 (") || header.starts_with("Opera/")
}

/// Whether a User-Agent is that of something that opens pages: as [`is_browser`], and crawlers that call themselves one.
pub(crate) fn is_page(header: &str) -> bool {
    is_browser(header) || header.starts_with("Mozilla/5.0 AppleWebKit/")
}

fn classify(user_agent: &str) -> Agent {
    let result = Parser::new().parse(user_agent);
    let is_bot = bots::is_bot(user_agent, result.as_ref());
    let Some(result) = result else { return Agent { is_bot, ..Agent::default() } };
    let known = |text: &str| if text == "UNKNOWN" { String::new() } else { text.to_owned() };
    let device = match result.category {
        "pc" => "desktop",
        "smartphone" if is_tablet(user_agent) => "tablet",
        "smartphone" | "mobilephone" => "mobile",
        "appliance" => "tv",
        "crawler" => "bot",
        _ => "",
    };
    Agent { device, browser: known(result.name), os: known(result.os), is_bot }
}

fn is_tablet(user_agent: &str) -> bool {
    user_agent.contains("iPad") || (user_agent.contains("Android") && !user_agent.contains("Mobile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_apart() {
        let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
        assert_eq!(
            *agent(chrome),
            Agent { device: "desktop", browser: "Chrome".into(), os: "Windows 10".into(), is_bot: false }
        );
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
        assert_eq!(
            *agent(iphone),
            Agent { device: "mobile", browser: "Safari".into(), os: "iPhone".into(), is_bot: false }
        );
        let tablet = "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
        assert_eq!(
            *agent(tablet),
            Agent { device: "tablet", browser: "Chrome".into(), os: "Android".into(), is_bot: false }
        );
        let bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        assert!(agent(bot).device == "bot" && agent(bot).is_bot);
        assert_eq!(agent("curl/8.5.0"), agent("curl/8.5.0"));
    }

    #[test]
    fn headers_of_server_sdks_are_no_browsers() {
        for header in
            ["node", "python-requests/2.34.2", "analytics-node-next/latest", "Mozilla/5.0 Umami/v20"]
        {
            assert!(!is_browser(header), "{header}");
        }
    }

    #[test]
    fn long_ones_are_cut_and_not_remembered() {
        let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
        let remembered = || REMEMBERED.with_borrow(HashMap::len);
        let before = remembered();
        let long = format!("{chrome} {}", "ü".repeat(600));
        assert_eq!((agent(&long).browser.as_str(), remembered()), ("Chrome", before));
        let late = format!("{} Googlebot/2.1", "x".repeat(MAX_READ_BYTES));
        assert!(!agent(&late).is_bot && agent("Googlebot/2.1").is_bot);
        agent(&format!("{chrome} {}", "a".repeat(MAX_REMEMBERED_BYTES - chrome.len() - 1)));
        assert_eq!(remembered(), before + 2);
    }

    #[test]
    fn the_memory_is_bounded() {
        for number in 0..2 * MAX_REMEMBERED_USER_AGENTS {
            agent(&format!("agent {number}"));
        }
        assert!(REMEMBERED.with_borrow(HashMap::len) <= MAX_REMEMBERED_USER_AGENTS);
    }
}
