//! Nothing is sent or stored before it may be, nor after it may not be any more.

use serde_json::json;

use crate::page::{Visit, events, named};

const SIGNALS: &str = "<script>Object.defineProperty(navigator, 'globalPrivacyControl', {value: true});\
    Object.defineProperty(navigator, 'doNotTrack', {value: '1'})</script>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_consent_is_sent_when_it_is_granted_and_forgotten_when_it_is_denied() {
    let Some(mut visit) = Visit::start().await else { return };
    let waits = r#"data-consent="wait""#;
    visit.open("/a", waits, "");
    visit
        .page
        .evaluate("rungs('event', 'before', {n: 1}); rungs('id', (id) => { window.told = id ?? 'nobody' })");
    assert_eq!(visit.page.evaluate("told"), "nobody");
    visit.until_told();
    assert_eq!(named(&visit.running), [""; 0]);
    assert_eq!(visit.stored(), json!([[], ""]));

    visit.page.evaluate("rungs('consent', 'perhaps'); rungs('consent', 'granted')");
    visit.until_names(&["$page", "before"]);
    visit.open("/b", waits, "");
    visit.until_names(&["$page", "before", "$page"]);
    let visitors: Vec<_> = events(&visit.running).into_iter().map(|event| event.visitor_id).collect();
    assert_eq!(visitors[0], visitors[2]);

    visit.page.evaluate("rungs('consent', 'denied'); rungs('event', 'after')");
    assert_eq!(visit.stored(), json!([["rungs.consent"], ""]));
    visit.open("/c", "", "");
    visit.page.evaluate("rungs('event', 'after')");
    visit.until_told();
    visit.until_names(&["$page", "before", "$page"]);
    // A new mind is another visitor.
    visit.page.evaluate("rungs('consent', 'granted'); rungs('event', 'again')");
    visit.until_names(&["$page", "before", "$page", "again"]);
    assert_ne!(events(&visit.running).pop().unwrap().visitor_id, visitors[0]);
    visit.assert_no_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_browsers_signals_are_honoured_as_the_page_decides() {
    let Some(mut visit) = Visit::start().await else { return };
    let open = |visit: &mut Visit, path: &str, attributes: &str| {
        let html = format!("{SIGNALS}{}", crate::page::tag(&visit.running, attributes));
        let address = visit.site.page(path, "", &html);
        visit.go(&address);
        visit.page.evaluate("rungs('event', location.pathname)");
    };
    open(&mut visit, "/default", "");
    open(&mut visit, "/dnt", r#"data-gpc="off" data-dnt="on""#);
    visit.until_told();
    assert_eq!(named(&visit.running), [""; 0]);
    assert_eq!(visit.stored(), json!([[], ""]));
    open(&mut visit, "/neither", r#"data-gpc="off""#);
    visit.until_names(&["$page", "/neither"]);
    visit.assert_no_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_cookies_nothing_is_stored_and_a_day_is_one_visitor() {
    let Some(mut visit) = Visit::start().await else { return };
    visit.running.apply(|plan| plan.sites[1].policy.cookieless = true).await;
    visit.running.salt();
    // The site had stored ids before.
    visit.open("/before", r#"data-pages="off""#, "");
    visit.page.evaluate("rungs('id', (id) => { window.told = id })");
    assert_ne!(visit.stored(), json!([[], ""]));
    visit.open("/a", "data-cookieless", "");
    visit
        .page
        .evaluate("rungs('event', 'poll', {n: 1}); rungs('id', (id) => { window.told = id ?? 'nobody' })");
    assert_eq!(visit.page.evaluate("told"), "nobody");
    visit.until_names(&["$page", "poll"]);
    visit.open("/b", "data-cookieless", "");
    visit.until_names(&["$page", "poll", "$page"]);
    assert_eq!(visit.stored(), json!([[], ""]));
    let mut visitors: Vec<_> = events(&visit.running).into_iter().map(|event| event.visitor_id).collect();
    assert!(visitors[0].starts_with("day."), "{visitors:?}");
    visitors.dedup();
    assert_eq!(visitors.len(), 1, "{visitors:?}");

    visit.page.evaluate("rungs('consent', 'denied'); rungs('event', 'after')");
    assert_eq!(visit.stored(), json!([["rungs.consent"], ""]), "an opt-out has to be remembered");
    visit.open("/c", "data-cookieless", "");
    visit.until_told();
    visit.until_names(&["$page", "poll", "$page"]);
    visit.assert_no_errors();
}
