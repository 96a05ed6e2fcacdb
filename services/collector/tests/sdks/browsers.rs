//! The clients for browsers, in Chromium: they ask for their settings, send from a page of another origin, and
//! PostHog's sends by beacon what is left when the page is.

#[path = "../../../rungs/tests/program/browser.rs"]
#[allow(dead_code)]
mod browser;

use std::net::SocketAddr;
use std::path::PathBuf;

use runtime::Tasks;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::clients::{Fetched, KEY};
use crate::collecting::Collecting;
use crate::{EVENTS, properties};
use browser::Page;

/// Serves a page's program and the packages to the browser.
async fn site(packages: PathBuf, program: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && client.read_buf(&mut head).await.unwrap_or(0) > 0 {}
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let (kind, body) = match path.as_str() {
                "" => (
                    "text/html",
                    b"<!doctype html><title>Shop</title><script type=module src=/program.js></script>"
                        .to_vec(),
                ),
                "program.js" => ("text/javascript", program.clone().into_bytes()),
                path => ("text/javascript", std::fs::read(packages.join(path)).unwrap_or_default()),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}; charset=utf-8\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = client.write_all(answer.as_bytes()).await;
            let _ = client.write_all(&body).await;
        }
    };
    drop(Tasks::new().spawn("site", serve));
    address
}

/// The program of a page: `window.send(visitor, event, properties)` after `window.ready`.
fn program(client: &str, collector: &str) -> String {
    match client {
        "segment" => format!(
            "await new Promise((done) => {{ const s = document.createElement('script'); \
             s.src = '/@segment/analytics-next/dist/umd/index.js'; s.onload = done; document.head.append(s); }});\n\
             const [analytics] = await AnalyticsNext.AnalyticsBrowser.load({{writeKey: '{KEY}', cdnURL: '{collector}'}});\n\
             window.send = (anonymousId, event, properties) => analytics.track(event, properties, {{anonymousId}});\n\
             window.ready = true;"
        ),
        _ => format!(
            "import posthog from '/posthog-js/dist/module.js';\n\
             posthog.init('{KEY}', {{api_host: '{collector}', autocapture: false, capture_pageview: false, capture_pageleave: false, \
             opt_out_useragent_filter: true, loaded: () => {{ window.ready = true; }}}});\n\
             window.send = (distinct_id, event, properties) => posthog.capture(event, {{...properties, distinct_id}});"
        ),
    }
}

/// Sends the first two events of each visitor, then the last one right before the page is left (which for Segment's client
/// is when it says that they are delivered). `refused` are the requests that may be answered otherwise than by 200.
async fn deliver(client: &str, fetched: &Fetched, refused: &[&str]) {
    let Some(chromium) = browser::chromium() else { return };
    let collecting = Collecting::start().await;
    let site = site(fetched.packages().join("node/node_modules"), program(client, &collecting.url())).await;
    let run = format!("{client}-browser");
    let mut page = Page::open(chromium, &format!("http://{site}/"));
    page.until("window.ready === true", &json!(true));
    let send = |visitor: usize, step: usize| {
        let event = EVENTS[step];
        format!("window.send('{run}-{visitor}', '{event}', {}), ", properties(&run, step))
    };
    let early: String = (0..2).flat_map(|step| (0..5).map(move |visitor| send(visitor, step))).collect();
    page.evaluate(&format!("void [{early}]"));
    collecting.until(10, &run).await;
    let late: String = (0..5).map(|visitor| send(visitor, 2)).collect();
    page.evaluate(&format!("void Promise.all([{late}]).then(() => location.reload())"));
    collecting.until(15, &run).await;
    let mut found: Vec<(String, String)> = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    for event in collecting.events() {
        let step = EVENTS.iter().position(|known| *known == event.event).unwrap();
        let sent: Value = serde_json::from_str(&event.properties).unwrap();
        for (field, value) in properties(&run, step).as_object().unwrap() {
            assert_eq!(&sent[field], value, "{client}: {field}");
        }
        assert_eq!((event.device.as_str(), event.channel.as_str()), ("desktop", "direct"), "{client}");
        if !ids.contains(&event.message_id) {
            ids.push(event.message_id.clone());
            found.push((event.visitor_id, event.event));
        }
    }
    found.sort();
    let mut wanted: Vec<_> = (0..5)
        .flat_map(|visitor| EVENTS.map(|event| (format!("{run}-{visitor}"), event.to_owned())))
        .collect();
    wanted.sort();
    assert_eq!(found, wanted, "{client}");
    let others = collecting.answers_other_than_200();
    assert!(
        others.iter().all(|line| refused.iter().any(|known| line.contains(known))),
        "{client}: {others:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_client_for_browsers_delivers_every_event_once() {
    let Some(fetched) = Fetched::all() else { return };
    deliver("segment", &fetched, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posthogs_client_for_browsers_delivers_also_what_it_had_when_the_page_was_left() {
    let Some(fetched) = Fetched::all() else { return };
    // It asks for scripts of PostHog's other products, which are not there.
    deliver("posthog", &fetched, &["endpoint=\"unknown\",status=\"404\""]).await;
}
