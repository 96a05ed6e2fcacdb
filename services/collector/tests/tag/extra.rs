//! `data-extra`: how far a page is read, how much of a video is played, links elsewhere, downloads.

use serde_json::json;

use crate::page::{Visit, events, json_of, named};

const BODY: &str = r#"
<a id=out href="https://other.example/there?token=1">Out</a> <a id=in href="/here">In</a>
<a id=file href="/price-list.pdf?x">File</a> <a id=saved href="/data" download>Saved</a>
<video></video>
<script>addEventListener("click", (event) => event.preventDefault())</script>
<div style="height: 6000px"></div>"#;

/// A video of 100 seconds, of which so many were played from its start.
const PLAYED: &str = "(seconds) => {
  const video = document.querySelector('video');
  const has = (name, value) => Object.defineProperty(video, name, {value, configurable: true});
  has('duration', 100); has('currentSrc', 'https://cdn.example/intro.mp4?x');
  has('played', {length: 2, start: (n) => n ? 90 : 0, end: (n) => n ? 90 : seconds});
  video.dispatchEvent(new Event('timeupdate'));
}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_watching_leaving_and_downloading_are_reported_when_asked_for() {
    let Some(mut visit) = Visit::start().await else { return };
    visit.open("/plain", r#"data-pages="off""#, BODY);
    visit.page.evaluate("document.getElementById('out').click()");
    visit.until_told();
    assert_eq!(named(&visit.running), [""; 0]);

    visit.open("/long", r#"data-pages="off" data-extra"#, BODY);
    visit.page.until(
        "performance.getEntriesByName(document.querySelector('[src$=\"-extra.js\"]')?.src).length",
        &json!(1),
    );
    // It watches from the moment that a first link is counted.
    visit.page.until("document.getElementById('out').click() || Object.keys(localStorage).some(key => /^rungs.id/.test(key))", &json!(true));
    visit.until("a link", |running| !named(running).is_empty());
    for id in ["in", "file", "saved"] {
        visit.page.evaluate(&format!("document.getElementById('{id}').click()"));
    }
    visit.page.evaluate("scrollTo(0, 0.6 * document.documentElement.scrollHeight - innerHeight)");
    visit.until("half read", |running| quarters(running, "read_depth") == [25, 50]);
    visit.page.evaluate("scrollTo(0, 9000)");
    visit.until("all read", |running| quarters(running, "read_depth") == [25, 50, 75, 100]);
    for seconds in [10, 30, 30, 80, 100] {
        visit.page.evaluate(&format!("({PLAYED})({seconds})"));
    }
    visit.until("all played", |running| quarters(running, "video_progress") == [25, 50, 75, 100]);
    let all = events(&visit.running);
    let of = |name: &str| {
        let found = all.iter().filter(|event| event.event == name);
        found.map(|event| json_of(&event.properties)).collect::<Vec<_>>()
    };
    assert!(
        of("outbound_click").iter().all(|properties| *properties
            == json!({"host": "other.example", "url": "https://other.example/there"}))
    );
    let files: Vec<_> = of("download").iter().map(|properties| properties["file"].clone()).collect();
    assert_eq!(files, [json!("price-list.pdf"), json!("data")]);
    assert_eq!(of("video_progress")[0], json!({"percent": 25, "video": "intro.mp4"}));
    visit.assert_no_errors();
}

/// The quarters that were reported, in their order.
fn quarters(running: &crate::support::Running, name: &str) -> Vec<i64> {
    let found = events(running).into_iter().filter(|event| event.event == name);
    let mut quarters: Vec<_> =
        found.map(|event| json_of(&event.properties)["percent"].as_i64().unwrap()).collect();
    quarters.sort_unstable();
    quarters
}
