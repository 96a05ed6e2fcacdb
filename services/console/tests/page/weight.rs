//! How much the page weighs, how soon it is there, and that its policy has nothing to forbid.

use serde_json::{Value, json};

use crate::browser::{self, Page};
use crate::running::Running;

const MAX_BYTES: i64 = 100_000;
const MAX_PAINT_MS: f64 = 300.0;
/// The machine does other things as well: one of these is in time.
const MAX_TRIES: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_weighs_little_and_asks_nobody_else() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    let mut page = console.whole_page(chromium);
    let entries =
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]";
    let files = format!(
        "{entries}.filter(each => !new URL(each.name).pathname.startsWith('/api/')).map(each => [each.name, each.encodedBodySize])"
    );
    let files: Vec<(String, i64)> = serde_json::from_value(page.evaluate(&files)).unwrap();
    assert_eq!(files.len(), 17, "{files:?}");
    let bytes: i64 = files.iter().map(|(_, bytes)| bytes).sum();
    println!("the page: {bytes} bytes compressed");
    assert!(bytes < MAX_BYTES, "{bytes} bytes");
    let elsewhere = page.evaluate(&format!(
        "{entries}.filter(each => new URL(each.name).origin !== location.origin).map(each => each.name)"
    ));
    assert_eq!(elsewhere, json!([]));
    let paints = (0..MAX_TRIES).map(|_| first_paint(&mut page, &console.url));
    let paints: Vec<f64> = paints.take_while(|paint| *paint >= MAX_PAINT_MS).collect();
    assert!(paints.len() < MAX_TRIES, "first paint after {paints:?} ms");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

/// Milliseconds until something is seen of the page loaded again.
fn first_paint(page: &mut Page, address: &str) -> f64 {
    page.go("about:blank");
    page.go(address);
    page.until("performance.getEntriesByName('first-contentful-paint').length", &1.into());
    page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime").as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_has_nothing_to_forbid_and_forbids_what_is_injected() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    // Names that try to be markup.
    let hostile = "<img src=x onerror=alert(1)>";
    console.source.change(|state| {
        state.arrived[0].1 = hostile.into();
        state.values[0].0 = hostile.into();
        state.names[2].0 = hostile.into();
    });
    let mut page =
        Page::open(chromium, &format!("{}/?window=7d&breakdown=channel&arriving=open", console.url));
    page.until("[...document.querySelectorAll('code, th')].filter(each => each.textContent === '<img src=x onerror=alert(1)>').length >= 2", &true.into());
    assert_eq!(page.evaluate("document.querySelectorAll('img').length"), 0);
    assert_eq!(page.complaints(), Vec::<String>::new(), "no violation");
    // A policy that forbids nothing would be none.
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = true\">')",
    );
    let mut seen: Vec<String> = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while seen.is_empty() && std::time::Instant::now() < deadline {
        seen =
            page.complaints().into_iter().filter(|text| text.contains("Content Security Policy")).collect();
    }
    assert!(!seen.is_empty(), "an inline handler was let through");
    assert_eq!(page.evaluate("window.ran ?? null"), Value::Null);
}
