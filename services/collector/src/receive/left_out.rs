//! Events that are good and not wanted: of visitors whose browsers say that they do not want to be followed, where the
//! site respects that; of bots; of links and pictures that a browser fetched ahead. They are answered as a success, or
//! the client would send them again; the answer's `rejected` says why each is not stored.
//!
//! Judged is what comes from browsers and mail programs: the head of a server's request, and whatever comes with a secret
//! key, says nothing about the visitor.

use actix_web::http::header::{DNT, HeaderName, HeaderValue, ORIGIN, USER_AGENT};
use funnel::plan::{Bots, Signal, Site};

use super::Incoming;
use crate::adapters::Endpoint;
use crate::derive::user_agent::{self, Agent};
use crate::keys::Caller;
use crate::rejection::{Reason, Rejection};

const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");

/// Where browsers say that nobody has asked for what they fetch: the standard's header, and those of older ones.
const PREFETCH_HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
    HeaderName::from_static("x-purpose"),
];
/// What they write there, each browser its own word.
const PREFETCH_WORDS: [&str; 3] = ["prefetch", "prerender", "preview"];

impl Incoming<'_> {
    /// Why the events of the request are left out, if they are. `agent` is what its head tells of a browser.
    pub(super) fn left_out(&self, caller: Caller<'_>, agent: Option<&Agent>) -> Option<Rejection> {
        if caller.is_secret {
            return None;
        }
        if let Some(signal) = self.opt_out(caller.site) {
            let message = match signal {
                Signal::Gpc => "left out: the visitor's browser sends Sec-GPC: 1, which the site respects",
                Signal::Dnt => "left out: the visitor's browser sends DNT: 1, which the site respects",
            };
            return Some(Reason::OptedOut.because(message));
        }
        if caller.site.policy.bots == Bots::LeaveOut {
            if self.is_bot(agent) {
                let message = "left out: its User-Agent is a bot's (`bots = \"keep\"` in the tracking plan)";
                return Some(Reason::Bot.because(message));
            }
            if self.is_prefetched() {
                let message = "left out: a browser fetched it ahead of a visit that may never be";
                return Some(Reason::Prefetch.because(message));
            }
        }
        None
    }

    /// The signal of the visitor's browser that the site respects, if there is one.
    pub(super) fn opt_out(&self, site: &Site) -> Option<Signal> {
        let sent = |signal: &&Signal| match signal {
            Signal::Gpc => self.header(&SEC_GPC) == "1",
            Signal::Dnt => self.header(&DNT) == "1",
        };
        site.policy.respect.iter().find(sent).copied()
    }

    fn is_bot(&self, agent: Option<&Agent>) -> bool {
        let is_bot = || user_agent::agent(self.header(&USER_AGENT)).is_bot;
        self.is_visitors() && agent.map_or_else(is_bot, |agent| agent.is_bot)
    }

    /// Pictures, links, and what pages send that are made ready before anybody has opened them.
    fn is_prefetched(&self) -> bool {
        let says_so = |value: &HeaderValue| {
            let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
            PREFETCH_WORDS.iter().any(|word| value.contains(word))
        };
        let headers = self.headers();
        let is_said = PREFETCH_HEADERS.iter().any(|name| headers.get_all(name).any(says_so));
        is_said && self.is_visitors()
    }

    /// Whether somebody's browser or mail program sent it; whoever opens a picture or a link is neither's server.
    fn is_visitors(&self) -> bool {
        let is_opened = matches!(
            self.endpoint,
            Endpoint::Pixel | Endpoint::Click | Endpoint::SnowplowQuery | Endpoint::Beacon
        );
        is_opened || user_agent::is_page(self.header(&USER_AGENT)) || self.headers().contains_key(ORIGIN)
    }
}
