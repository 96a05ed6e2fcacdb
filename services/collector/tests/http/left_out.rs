//! Events of bots and of pages that are fetched ahead: answered as a success, counted by their reason, not stored.

use funnel::plan::{Bots, Signal};
use reqwest::header::USER_AGENT;
use serde_json::{Value, json};

use crate::support::{Running, event, read, start};

const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const PREVIEW: &str = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)";
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// The answer to an event that a program of this name posts with a write key.
async fn posted(running: &Running, path: &str, agent: &str, headers: &[(&'static str, &str)]) -> Value {
    let body = json!({ "event": "a", "anonymousId": "v", "batch": [{ "event": "a", "anonymousId": "v" }] });
    let mut request = running.post(path, body.to_string()).header(USER_AGENT, agent);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (status, answer) = read(request.send().await.unwrap()).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn a_bots_events_are_left_out_and_told() {
    let running = start().await;
    for path in ["/v1/track", "/v1/batch", "/v1/beacon", "/rungs.js?events"] {
        let answer = posted(&running, path, GOOGLEBOT, &[]).await;
        assert_eq!((&answer["accepted"], &answer["ok"]), (&json!(0), &json!(true)));
        assert_eq!(
            (&answer["rejected"][0]["index"], &answer["rejected"][0]["code"]),
            (&json!(0), &json!("bot"))
        );
        assert!(answer["rejected"][0]["message"].as_str().unwrap().contains("bots = \"keep\""), "{answer}");
    }
    // A page of a browser says so itself, whatever its name is.
    let answer = posted(&running, "/v1/track", PREVIEW, &[("origin", "https://shop.example")]).await;
    assert_eq!(answer["rejected"][0]["code"], "bot");
    assert_eq!(running.metric("rungs_collector_rejected_events_total{reason=\"bot\"}"), 5.0);
    assert_eq!(running.metric("rungs_collector_events_total{outcome=\"left_out\"}"), 5.0);
    running.assert_outcomes(0, 0, 0);
    assert!(running.events().is_empty());
}

#[tokio::test]
async fn a_bot_that_opens_a_picture_or_a_link_gets_them_and_nothing_is_counted() {
    let (running, client) = (start().await, client());
    let get = |path: &str, name: &'static str, value: &str| {
        let request = client.get(format!("{}{path}", running.url)).header(name, value);
        async { request.send().await.unwrap() }
    };
    let pixel = "/v1/pixel.gif?key=wk&event=mail_opened&anonymousId=v";
    let link = "/v1/click?key=wk&event=mail_clicked&anonymousId=v&to=https://shop.example/may";
    let mut left_out = 0;
    for (name, value) in [
        ("user-agent", GOOGLEBOT),
        ("user-agent", PREVIEW),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
        ("x-purpose", "preview"),
        ("purpose", "preview"),
        ("x-purpose", "prefetch"),
        ("sec-purpose", "Prefetch;anonymous-client-ip"),
    ] {
        let picture = get(pixel, name, value).await;
        assert_eq!(
            (picture.status().as_u16(), &picture.headers()["content-type"]),
            (200, &"image/gif".parse().unwrap())
        );
        let led = get(link, name, value).await;
        assert_eq!(led.status().as_u16(), 302);
        assert!(
            led.headers()["location"].to_str().unwrap().starts_with("https://shop.example/may?rungs_id=")
        );
        left_out += 2;
    }
    let count = |reason: &str| {
        running.metric(&format!("rungs_collector_rejected_events_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!((count("bot"), count("prefetch")), (4.0, left_out as f64 - 4.0));
    assert!(running.events().is_empty());
    // Google shows pictures through a proxy to whoever reads the mail.
    let proxy = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
    for agent in [CHROME, proxy, "curl/8.5.0"] {
        get(pixel, "user-agent", agent).await;
    }
    assert_eq!(running.names(), ["mail_opened"; 3]);
}

#[tokio::test]
async fn what_a_page_sends_that_nobody_has_opened_yet_is_left_out() {
    let running = start().await;
    let mut sent = 0.0;
    for prefetch in [
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
        ("x-purpose", "preview"),
    ] {
        for (path, agent, headers) in [
            ("/v1/beacon", "", vec![prefetch]),
            ("/v1/track", CHROME, vec![prefetch]),
            ("/v1/batch", "", vec![("origin", "https://shop.example"), prefetch]),
            ("/rungs.js?events", CHROME, vec![("x-moz", "something else"), prefetch]),
        ] {
            let answer = posted(&running, path, agent, &headers).await;
            assert_eq!(answer["rejected"][0]["code"], "prefetch", "{path} {headers:?}: {answer}");
            sent += 1.0;
        }
    }
    assert_eq!(running.metric("rungs_collector_rejected_events_total{reason=\"prefetch\"}"), sent);
    running.assert_outcomes(0, 0, 0);
}

#[tokio::test]
async fn who_does_not_want_to_be_followed_is_not_where_the_site_respects_it() {
    let (running, client) = (start().await, client());
    let gpc = [("sec-gpc", "1")];
    assert_eq!(posted(&running, "/v1/track", CHROME, &gpc).await["accepted"], 1, "no site must");
    running.apply(|plan| plan.sites[0].policy.respect = vec![Signal::Gpc]).await;
    for (path, headers, accepted) in [
        ("/v1/track", gpc, 0),
        ("/v1/batch", gpc, 0),
        ("/rungs.js?events", gpc, 0),
        ("/v1/track", [("sec-gpc", "0")], 1),
        ("/v1/track", [("dnt", "1")], 1),
    ] {
        let answer = posted(&running, path, CHROME, &headers).await;
        assert_eq!(answer["accepted"], accepted, "{path} {headers:?}");
        if accepted == 0 {
            assert_eq!(answer["rejected"][0]["code"], "opted_out", "{answer}");
        }
    }
    running.apply(|plan| plan.sites[0].policy.respect = vec![Signal::Gpc, Signal::Dnt]).await;
    assert_eq!(posted(&running, "/v1/track", CHROME, &[("dnt", "1")]).await["accepted"], 0);
    // A server that passes the header on knows what it does.
    let secret = running.client.post(format!("{}/v1/track", running.url)).bearer_auth("secret_wk");
    let secret = secret.header("sec-gpc", "1").body(event("a")).send().await.unwrap();
    assert_eq!(read(secret).await.1["accepted"], 1);
    // The link leads on, and names nobody there.
    let link = format!("{}/v1/click?key=wk&event=a&anonymousId=v&to=https://shop.example/may", running.url);
    let led = client.get(link).header("sec-gpc", "1").send().await.unwrap();
    assert_eq!(
        (led.status().as_u16(), &led.headers()["location"]),
        (302, &"https://shop.example/may".parse().unwrap())
    );
    assert_eq!(running.metric("rungs_collector_rejected_events_total{reason=\"opted_out\"}"), 5.0);
    assert_eq!(running.metric("rungs_collector_events_total{outcome=\"left_out\"}"), 5.0);
    running.assert_outcomes(4, 0, 0);
}

#[tokio::test]
async fn servers_are_not_judged_nor_is_anybody_where_the_plan_keeps_bots() {
    let running = start().await;
    let secret = running.client.post(format!("{}/v1/track", running.url)).bearer_auth("secret_wk");
    let secret = secret.header(USER_AGENT, GOOGLEBOT).body(event("a"));
    assert_eq!(read(secret.send().await.unwrap()).await.1["accepted"], 1);
    // A server's own name may look like anything.
    for agent in ["node", "python-requests/2.34.2", "our-events-bot/1.0", "Mozilla/5.0 Umami/v20.1 crawler"] {
        assert_eq!(posted(&running, "/v1/track", agent, &[]).await["accepted"], 1, "{agent}");
    }
    assert_eq!(posted(&running, "/v1/track", "node", &[("sec-purpose", "prefetch")]).await["accepted"], 1);
    running.apply(|plan| plan.sites[0].policy.bots = Bots::Keep).await;
    assert_eq!(posted(&running, "/v1/track", GOOGLEBOT, &[]).await["accepted"], 1);
    let kept = running.events().into_iter().filter(|event| event.device == "bot").count();
    assert_eq!(kept, 1);
}
