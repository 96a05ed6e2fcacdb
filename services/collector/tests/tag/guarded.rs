//! Whatever a browser lacks or forbids, the page never notices the tag, and what still can be counted is.

use serde_json::json;

use crate::page::{Visit, events, named, tag};

const BUTTON: &str = "<button data-rungs=yes>Yes</button>";
const CLICK: &str = "document.querySelector('button').click()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_without_storage_or_observers_or_network_sees_no_error() {
    let Some(mut visit) = Visit::start().await else { return };
    // Path, headers, a script before the tag, the events that still come.
    let cases = [
        ("/sandbox", "content-security-policy: sandbox allow-scripts\r\n", "", 2),
        (
            "/full",
            "",
            "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError') }",
            2,
        ),
        (
            "/blocked",
            "",
            "Object.defineProperty(window, 'localStorage', {get() { throw new Error('blocked') }})",
            2,
        ),
        ("/observers", "", "delete window.IntersectionObserver; delete window.MutationObserver", 2),
        ("/locks", "", "Object.defineProperty(navigator, 'locks', {value: undefined})", 2),
        ("/history", "", "history.pushState = undefined", 2),
        ("/connect", "content-security-policy: connect-src 'none'\r\n", "", 0),
        ("/fetch", "", "window.fetch = undefined", 0),
        ("/crypto", "", "Object.defineProperty(window, 'crypto', {value: undefined})", 0),
    ];
    let mut expected = 0;
    for (path, headers, script, events) in cases {
        let html = format!("<script>{script}</script>{}{BUTTON}", tag(&visit.running, ""));
        let address = visit.site.page(path, headers, &html);
        visit.go(&address);
        visit.page.evaluate(CLICK);
        // Nonsense from the page is its own affair.
        visit.page.evaluate("rungs(); rungs('nothing'); rungs('event'); rungs('id'); rungs('consent', {})");
        visit.page.evaluate("const ring = {}; ring.ring = ring; rungs('event', 'ring', ring)");
        expected += events;
        visit.until(path, |running| named(running).len() == expected);
        visit.page.evaluate("new Promise(done => setTimeout(done, 200))");
        visit.assert_no_errors();
        assert_eq!(named(&visit.running).len(), expected, "{path}");
        // What could not be sent from here is not to come from the next page.
        visit.page.evaluate("try { localStorage.clear() } catch (error) {}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_without_storage_is_kept_in_a_cookie_and_a_tag_pasted_twice_counts_once() {
    let Some(mut visit) = Visit::start().await else { return };
    let blocked = "<script>Object.defineProperty(window, 'localStorage', {get() { throw new Error('blocked') }})</script>";
    for path in ["/a", "/b"] {
        let html = format!("{blocked}{0}{0}", tag(&visit.running, ""));
        let address = visit.site.page(path, "", &html);
        visit.go(&address);
        visit.until(path, |running| named(running).len() >= if path == "/a" { 1 } else { 2 });
    }
    visit.until_told();
    visit.until_names(&["$page", "$page"]);
    let visitors: Vec<_> = events(&visit.running).into_iter().map(|event| event.visitor_id).collect();
    assert_eq!(visitors[0], visitors[1]);
    let cookie = visit.page.evaluate("document.cookie");
    assert_eq!(cookie, json!(format!("rungs.id={}", visitors[0])));
    visit.page.evaluate("rungs('consent', 'denied')");
    assert_eq!(visit.page.evaluate("document.cookie"), "rungs.consent=denied");
    visit.assert_no_errors();
}
