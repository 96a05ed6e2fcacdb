//! A page that is left open: numbers that stop coming are not shown as live, and it finds its way back.

use serde_json::json;

use crate::browser::{self, Page};
use crate::running::Running;

/// What the head said about freshness, from now on.
const WATCH: &str = "window.said = []; new MutationObserver(() => said.push(document.getElementById('freshness-text').textContent)) \
    .observe(document.getElementById('freshness'), {childList: true, subtree: true, characterData: true, attributes: true})";
const IS_LIVE: &str = "document.getElementById('freshness')?.dataset.state === 'live'";

#[tokio::test(flavor = "multi_thread")]
async fn a_computer_that_slept_begins_a_new_stream() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    let mut page = Page::open(chromium, &format!("{}/?window=7d", console.url));
    page.until(IS_LIVE, &true.into());
    page.evaluate(WATCH);
    // An hour later, as the clock says.
    page.evaluate("const then = Date.now; Date.now = () => then() + 3600000");
    page.until("said.includes('Catching up')", &true.into());
    console.source.change(|state| state.entered = 4_321);
    page.until(IS_LIVE, &true.into());
    page.until("document.querySelector('.visitors').textContent", &"4,321".into());
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_is_gone_is_told_and_what_was_shown_stays() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    let mut page = Page::open(chromium, &format!("{}/?window=7d", console.url));
    page.until(IS_LIVE, &true.into());
    console.stop();
    page.until("document.getElementById('freshness').dataset.state", &"broken".into());
    assert_eq!(page.evaluate("document.querySelector('.visitors').textContent"), json!("1,000"));
}
