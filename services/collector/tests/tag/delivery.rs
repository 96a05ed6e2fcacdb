//! Events arrive: from a page that closes, after an outage, from several tabs; each once.

use std::net::SocketAddr;

use serde_json::json;

use crate::page::{Visit, assert_once, named};
use crate::support::{Running, start_with};

const QUEUED: &str = "Object.keys(localStorage).filter(key => key.startsWith('rungs.wk_blog.')).length";
/// Whether a request of events has ended.
const FAILED: &str =
    "performance.getEntriesByType('resource').some((entry) => entry.name.endsWith('?events'))";

/// Stops a collector; gives back where it was.
async fn stop(running: &Running) -> SocketAddr {
    running.shutdown.request();
    running.until("stopped", || running.served.is_finished()).await;
    running.address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_closes_right_after_a_click_has_sent_it() {
    let Some(mut visit) = Visit::start().await else { return };
    let first = visit.page.tab();
    for number in 0..3 {
        visit.page.open_tab("about:blank");
        visit.open(&format!("/{number}"), r#"data-pages="off""#, "<button data-rungs=yes>Yes</button>");
        // The click and the end are one turn of the page.
        visit.page.evaluate(
            "setTimeout(() => { document.querySelector('button').click(); location = 'about:blank' })",
        );
        visit.page.close(&first);
        visit.until_names(&vec!["yes"; number + 1]);
    }
    assert_once(&visit.running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_requests_end_with_their_page_a_beacon_does_not() {
    let Some(mut visit) = Visit::start().await else { return };
    let old =
        "<script>delete Request.prototype.keepalive; window.fetch = () => new Promise(() => {})</script>";
    let html = format!("{old}{}", crate::page::tag(&visit.running, r#"data-pages="off""#));
    let address = visit.site.page("/a", "", &html);
    visit.go(&address);
    visit.page.evaluate("rungs('event', 'left')");
    visit.page.until(QUEUED, &json!(1));
    visit.page.go("about:blank");
    visit.until_names(&["left"]);
    assert_once(&visit.running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_loses_nothing_but_the_oldest_beyond_the_bound_and_repeats_nothing() {
    let Some(mut visit) = Visit::start().await else { return };
    visit.open("/a", "", "");
    visit.until_names(&["$page"]);
    visit.page.until(QUEUED, &json!(0));
    let address = stop(&visit.running).await;

    visit.page.evaluate("for (let n = 0; n < 320; n++) rungs('event', 'n' + n)");
    visit.page.until(QUEUED, &json!(300));
    // The tab closes with its events; another one of the site, which has the tag in its cache, sends them.
    let first = visit.page.tab();
    visit.page.open_tab("about:blank");
    visit.open("/b", r#"data-pages="off""#, "");
    visit.page.evaluate("rungs('event', 'last')");
    visit.page.until(QUEUED, &json!(300));
    let other = visit.page.tab();
    visit.page.show(&first);
    visit.page.close(&other);

    visit.running = start_with(|settings| settings.listen = address, None).await;
    visit.page.until(QUEUED, &json!(0));
    visit.until("everything", |running| named(running).len() >= 300);
    let mut expected: Vec<String> = (21..320).map(|n| format!("n{n}")).collect();
    expected.push("last".into());
    let mut names = named(&visit.running);
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    assert_once(&visit.running);
    visit.assert_no_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tabs_do_not_send_each_others_events_again() {
    let Some(mut visit) = Visit::start().await else { return };
    let silent = r#"data-pages="off""#;
    visit.open("/a", silent, "");
    let first = visit.page.tab();
    visit.page.open_tab("about:blank");
    visit.open("/b", silent, "");
    let address = stop(&visit.running).await;
    for (tab, name) in [(visit.page.tab(), "of_b"), (first, "of_a")] {
        visit.page.show(&tab);
        visit.page.evaluate(&format!("rungs('event', '{name}')"));
        // A request that has not failed yet would reach the next collector, beside its repetition.
        visit.page.until(FAILED, &json!(true));
    }
    visit.page.until(QUEUED, &json!(2));
    visit.running = start_with(|settings| settings.listen = address, None).await;
    visit.page.until(QUEUED, &json!(0));
    // Whoever looks again finds nothing left.
    visit.page.evaluate("dispatchEvent(new Event('online'))");
    visit.until_told();
    let mut names = named(&visit.running);
    names.sort();
    assert_eq!(names, ["of_a", "of_b"]);
    visit.assert_no_errors();
}
