//! What a page reports: views, marked clicks, forms, offers, and its own events.

use serde_json::json;

use crate::page::{Visit, assert_once, events, json_of, named};

const BODY: &str = r#"
<script>
  window.rungs = window.rungs || function () { (rungs.q = rungs.q || []).push(arguments) };
  rungs("event", "early", { n: 1 });
</script>
<button id=buy data-rungs="add_to_cart" data-rungs-plan="pro"><b id=inner>Buy</b></button>
<form id=join data-rungs="newsletter" onsubmit="return false"><input name=email><button id=send>Join</button></form>
<p data-rungs-offer="card_seen" data-rungs-ask="short">An offer</p>
<div style="height: 4000px"></div>
<p id=below data-rungs-offer="below_seen">Another</p>
<p id=brief data-rungs-offer="passed_by">Seen in passing</p>"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_reports_views_clicks_forms_offers_and_its_own_events() {
    let Some(mut visit) = Visit::start().await else { return };
    let html = crate::page::tag(&visit.running, "") + BODY;
    let address = visit.site.page("/shop", "", &html);
    visit.go(&format!("{address}?utm_source=may&utm_medium=email&token=secret#part"));
    visit.until("an offer shown", |running| named(running).contains(&"card_seen".to_owned()));
    visit.page.evaluate("document.getElementById('inner').click()");
    visit.page.evaluate("document.getElementById('send').click()");
    visit.page.evaluate("rungs('event', 'poll_answered', {answer: 'yes'})");
    visit.until("five events", |running| named(running).len() == 6);
    let names = named(&visit.running);
    assert_eq!(names[2..], ["card_seen", "add_to_cart", "newsletter", "poll_answered"]);
    assert!(
        names[..2].contains(&"$page".to_owned()) && names[..2].contains(&"early".to_owned()),
        "{names:?}"
    );

    let all = events(&visit.running);
    let find = |name: &str| all.iter().find(|event| event.event == name).unwrap();
    assert_eq!(json_of(&find("$page").properties), json!({"path": "/shop"}));
    assert_eq!(json_of(&find("early").properties), json!({"n": 1}));
    assert_eq!(json_of(&find("add_to_cart").properties), json!({"plan": "pro"}));
    assert_eq!(json_of(&find("card_seen").properties), json!({"ask": "short"}));
    let visitor = visit.page.evaluate("localStorage['rungs.id']");
    for event in &all {
        assert_eq!(event.visitor_id, visitor.as_str().unwrap());
        assert_eq!((event.channel.as_str(), event.source.as_str()), ("email", "may"), "{}", event.event);
        assert!(!event.context.contains("secret") && !event.properties.contains("secret"));
    }
    // The tag was loaded once, and no request asked for leave first.
    assert_eq!(visit.running.metric(r#"rungs_collector_requests_total{endpoint="tag",status="200"}"#), 1.0);

    // The id is the visitor's on the next page, and so is what brought them. Events do not make the browser forget the tag.
    visit.open("/next", "", "");
    visit.until("another page", |running| named(running).len() == 7);
    assert_eq!(visit.running.metric(r#"rungs_collector_requests_total{endpoint="tag",status="200"}"#), 1.0);
    let next = events(&visit.running).pop().unwrap();
    assert_eq!((next.event.as_str(), next.channel.as_str()), ("$page", "email"));
    assert_eq!(next.visitor_id, visitor.as_str().unwrap());
    assert_eq!(visit.page.evaluate("new Promise(done => rungs('id', done))"), visitor);
    assert_once(&visit.running);
    visit.assert_no_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_count_when_they_were_seen_and_single_page_apps_when_their_path_changes() {
    let Some(mut visit) = Visit::start().await else { return };
    visit.open("/app", "", BODY);
    visit.until("three events", |running| named(running).len() == 3);
    // Too short to be seen, then long enough.
    visit.page.evaluate(
        "document.getElementById('below').remove(); document.getElementById('brief').scrollIntoView(); \
         new Promise(done => setTimeout(done, 400)).then(() => scrollTo(0, 0))",
    );
    visit.page.evaluate(
        "document.body.insertAdjacentHTML('afterbegin', '<p id=late data-rungs-offer=late_seen>Late</p>')",
    );
    visit.until("an offer that came later", |running| named(running).contains(&"late_seen".to_owned()));
    visit.page.evaluate("document.getElementById('late').dataset.rungsOffer = 'other_seen'");
    visit.until("an element used again", |running| named(running).contains(&"other_seen".to_owned()));
    // A query is no page; a path is; what throws for the page throws as before.
    visit
        .page
        .evaluate("history.pushState({a: 1}, '', '?sort=price'); history.pushState({}, '', '/app/two')");
    visit.page.evaluate("history.replaceState({}, '', '/app/three')");
    visit.until("two pages more", |running| named(running).len() == 7);
    visit.page.evaluate("history.back()");
    visit.until("a page back", |running| named(running).len() == 8);
    let threw = "(() => { try { history.pushState({}, '', 'https://other.example/') } catch (e) { return e.name } })()";
    assert_eq!(visit.page.evaluate(threw), "SecurityError");
    let pages: Vec<_> = events(&visit.running).into_iter().filter(|event| event.event == "$page").collect();
    let paths: Vec<_> = pages.iter().map(|event| json_of(&event.properties)["path"].clone()).collect();
    assert_eq!(paths, [json!("/app"), json!("/app/two"), json!("/app/three"), json!("/app")]);
    visit.until_told();
    assert!(!named(&visit.running).contains(&"passed_by".to_owned()));
    assert_once(&visit.running);
    visit.assert_no_errors();
}
