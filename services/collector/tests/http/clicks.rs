//! Counted links: where they lead, whom they name, and that nobody is stranded.

use std::time::{Duration, Instant};

use event_log::PublishError;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, redirect};

use crate::support::{Running, assert_uncached, plan, read, start};

const LINK: &str =
    "key=wk&event=mail_clicked&anonymousId=ann&utm_medium=email&to=https%3A%2F%2Fshop.example%2Fmay%3Fa%3D1";
const LANDING: &str = "https://shop.example/may?a=1&rungs_id=ann";

/// The status and headers of a link's answer; redirects are not followed.
async fn follow(running: &Running, method: Method, query: &str) -> (u16, HeaderMap) {
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let request = client.request(method, format!("{}/v1/click?{query}", running.url));
    let response =
        request.header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0").send().await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

/// Where a link leads; it must be a redirect.
async fn landing(running: &Running, query: &str) -> String {
    let (status, headers) = follow(running, Method::GET, query).await;
    assert_eq!(status, 302, "{query}");
    assert_uncached(&headers);
    headers["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_link_counts_and_leads_on_with_the_same_visitor() {
    let running = start().await;
    assert_eq!(landing(&running, LINK).await, LANDING);
    let event = running.events().remove(0);
    assert_eq!((event.event.as_str(), event.visitor_id.as_str()), ("mail_clicked", "ann"));
    assert_eq!((event.channel.as_str(), event.os.as_str()), ("email", "Linux"));
    assert_eq!(event.properties, r#"{"to":"https://shop.example/may"}"#);

    let address = landing(&running, "key=wk&event=b&to=https://shop.example/").await;
    let visitor = address.strip_prefix("https://shop.example/?rungs_id=").unwrap();
    assert!(running.events().iter().any(|event| event.event == "b" && event.visitor_id == visitor));
    running.assert_outcomes(2, 0, 0);
}

#[tokio::test]
async fn a_link_leads_only_where_the_plan_lets_it() {
    let running = start().await;
    let cases = [
        ("key=wk&event=a&to=https%3A%2F%2Fpartner.example%2Fsale%2Fx&anonymousId=v", 302),
        ("key=wk&event=a&to=https%3A%2F%2Fpartner.example%2Fother", 403),
        ("key=wk&event=a&to=https%3A%2F%2Fpartner.example%2Fsale%2F..%252fother", 403),
        ("key=wk&event=a&to=//evil.example", 403),
        ("key=wk&event=a&to=%2F%2Fevil.example", 403),
        ("key=wk&event=a&to=/%5Cevil.example", 403),
        ("key=wk&event=a&to=https://shop.example@evil.example", 403),
        ("key=wk&event=a&to=https://shop.example.evil.example", 403),
        ("key=wk&event=a&to=https://evil.example%5C@shop.example", 403),
        ("key=wk&event=a&to=%09https://shop.example", 403),
        ("key=wk&event=a&to=https://shop.example/%0d%0aSet-Cookie:a=b", 403),
        ("key=wk&event=a&to=javascript:alert(1)", 403),
        ("key=wk&event=a&to=data:text/html,x", 403),
        ("key=wk&event=a&to=https://shop.example/&to=https://evil.example/&anonymousId=v", 302),
        ("key=wk&event=a&to=https://evil.example/&to=https://shop.example/", 403),
        // Another site's list is another site's.
        ("key=wk_blog&event=a&to=https://shop.example/", 403),
        ("key=wk&event=a&to=", 403),
        ("key=wk&event=a", 400),
        ("key=nobody&event=a&to=https://shop.example/", 401),
        ("event=a&to=https://shop.example/", 401),
    ];
    for (query, expected) in cases {
        let (status, headers) = follow(&running, Method::GET, query).await;
        assert_eq!(status, expected, "{query}");
        assert_eq!(headers.contains_key("location"), expected == 302, "{query}");
        if let Some(location) = headers.get("location") {
            let location = location.to_str().unwrap();
            assert!(location.ends_with("rungs_id=v") && !location.contains("evil"), "{location}");
        }
    }
    running.assert_outcomes(2, 0, 0);
    let refused = running.client.get(format!("{}/v1/click?key=wk&to=//evil.example", running.url));
    let (_, answer) = read(refused.send().await.unwrap()).await;
    assert_eq!(answer["code"], "destination_not_allowed");
}

#[tokio::test]
async fn people_are_sent_on_whatever_becomes_of_the_event() {
    let running = start().await;
    // No name, a time nobody can read, an unreadable event: rejected.
    for query in ["anonymousId=ann", "anonymousId=ann&event=a&timestamp=noon"] {
        let query = format!("key=wk&{query}&to=https://shop.example/");
        assert_eq!(landing(&running, &query).await, "https://shop.example/?rungs_id=ann");
    }
    let address = landing(&running, "key=wk&data=***&to=https://shop.example/").await;
    assert!(address.starts_with("https://shop.example/?rungs_id="));
    running.assert_outcomes(0, 3, 0);

    running.log.refuse_next(PublishError::Full { limit: "[log] max_size" });
    assert_eq!(landing(&running, LINK).await, LANDING);
    running.log.refuse_next(PublishError::Storage("disk".into()));
    assert_eq!(landing(&running, LINK).await, LANDING);
    running.assert_outcomes(0, 3, 2);

    // A log that does not answer holds nobody up for long.
    running.log.hold_receipts();
    let asked = Instant::now();
    assert_eq!(landing(&running, LINK).await, LANDING);
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(8), "{waited:?}");
    assert_eq!(running.metric(r#"rungs_collector_events_total{outcome="unanswered"}"#), 1.0);
    running.assert_outcomes(0, 3, 2);
}

#[tokio::test]
async fn a_look_at_a_link_is_no_click() {
    let running = start().await;
    let (status, headers) = follow(&running, Method::HEAD, LINK).await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (302, LANDING));
    assert_eq!(follow(&running, Method::POST, LINK).await.0, 405);
    running.assert_outcomes(0, 0, 0);
    let mut next = plan();
    next.sites[0].redirects = vec![];
    running.plan.send_replace(Some(std::sync::Arc::new(next)));
    let deadline = Instant::now() + Duration::from_secs(10);
    while follow(&running, Method::HEAD, LINK).await.0 != 403 {
        assert!(Instant::now() < deadline, "the new plan is not in force");
    }
}
