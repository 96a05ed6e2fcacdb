//! A collector, a site and a browser, and what tests ask of the three.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rungs_proto::v1::Event;
use serde_json::{Value, json};

use crate::browser::{self, Page};
use crate::site::Site;
use crate::support::{Running, start};

const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Visit {
    pub(crate) running: Running,
    pub(crate) site: Site,
    pub(crate) page: Page,
}

/// The tag's element, with further attributes.
pub(crate) fn tag(running: &Running, attributes: &str) -> String {
    format!(r#"<script async src="{}/rungs.js" data-key="wk_blog" {attributes}></script>"#, running.url)
}

impl Visit {
    /// `None` where browsers are left out.
    pub(crate) async fn start() -> Option<Self> {
        let chromium = browser::chromium()?;
        let running = start().await;
        Some(Self { running, site: Site::start(), page: Page::open(chromium, "about:blank") })
    }

    /// Puts the tag on a page and opens it.
    pub(crate) fn open(&mut self, path: &str, attributes: &str, body: &str) {
        let html = tag(&self.running, attributes) + body;
        let address = self.site.page(path, "", &html);
        self.go(&address);
    }

    /// Opens a page and waits until its tag runs.
    pub(crate) fn go(&mut self, address: &str) {
        self.page.go(address);
        let here =
            format!("location.href.startsWith({}) && window.rungs?.on", json!(address.split('?').next()));
        self.page.until(&here, &json!(1));
    }

    /// Waits until the log has these events, by name and in the order of their time, and nothing else.
    pub(crate) fn until_names(&self, names: &[&str]) {
        self.until(&format!("{names:?}"), |running| named(running) == names);
    }

    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Running) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !condition(&self.running) {
            assert!(Instant::now() < deadline, "not {what}: {:?}", named(&self.running));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends an event without the tag and waits for it: what the tag would have sent before has come by then.
    pub(crate) fn until_told(&mut self) {
        let send = format!(
            "fetch('{}/v1/beacon?key=wk_blog', {{method: 'POST', body: \
             JSON.stringify({{event: 'told', anonymousId: 'test'}})}}).then(answer => answer.status)",
            self.running.url
        );
        // After whatever the page still does of itself.
        self.page.evaluate("new Promise(done => setTimeout(done, 300))");
        let before = told(&self.running);
        assert_eq!(self.page.evaluate(&send), 200);
        self.until("told", |running| told(running) > before);
    }

    pub(crate) fn assert_no_errors(&mut self) {
        assert_eq!(self.page.evaluate("errors"), json!([]));
        assert!(self.page.complaints().iter().all(|text| !text.contains("exceptionDetails")));
    }

    /// What the browser stored for the page.
    pub(crate) fn stored(&mut self) -> Value {
        self.page.evaluate("[Object.keys(localStorage).concat(Object.keys(sessionStorage)), document.cookie]")
    }
}

fn told(running: &Running) -> usize {
    running.names().iter().filter(|name| *name == "told").count()
}

/// The tag's events in the order of their time.
pub(crate) fn events(running: &Running) -> Vec<Event> {
    let mut events = running.events();
    events.retain(|event| event.event != "told");
    // Ids begin with the time, and those of one millisecond are of one turn.
    events.sort_by_key(|event| event.own_ts_ms);
    events
}

pub(crate) fn named(running: &Running) -> Vec<String> {
    events(running).into_iter().map(|event| event.event).collect()
}

/// Every event has come once.
pub(crate) fn assert_once(running: &Running) {
    let events = events(running);
    let ids: HashSet<_> = events.iter().map(|event| &event.message_id).collect();
    assert_eq!(ids.len(), events.len(), "{:?}", named(running));
}

pub(crate) fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
