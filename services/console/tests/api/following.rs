//! Visitors on a step, notes, days and CSV: who may ask, what comes.

use rungs_console::day::Day;
use serde_json::{Value, json};

use crate::running::{LIVE, Running};

const VISITORS: &str = "/api/v1/funnels/shop/purchase/visitors?step=cart&state=dropped&window=7d";
const KEY: (&str, &str) = ("x-secret-key", "sk_shop_demo");
const PROXIED: (&str, &str) = ("x-forwarded-for", "203.0.113.9");

impl Running {
    async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.url));
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .send()
            .await
            .unwrap()
    }

    /// Posts a note; status and body.
    async fn note(&self, note: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        let request = self.client.post(format!("{}/api/v1/annotations", self.url)).json(note);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_are_listed_for_a_secret_key_of_the_site_only_and_from_anywhere() {
    let console = Running::start(Some("token"));
    let code = async |headers: &[(&str, &str)]| -> Value {
        console.ask(VISITORS, headers).await.json::<Value>().await.unwrap()["code"].clone()
    };
    assert_eq!(code(&[]).await, "token_needed");
    assert_eq!(code(&[("authorization", "Bearer token")]).await, "secret_key_needed");
    assert_eq!(code(&[PROXIED]).await, "token_needed");
    for wrong in ["sk_ladder_demo", "wk_shop_demo", "token"] {
        assert_eq!(code(&[("x-secret-key", wrong)]).await, "wrong_secret_key", "{wrong}");
        assert_eq!(code(&[("x-secret-key", wrong), PROXIED]).await, "wrong_secret_key", "{wrong}");
    }
    let basic = ("authorization", "Basic c2tfc2hvcF9kZW1vOg==");
    for headers in [&[KEY][..], &[KEY, PROXIED], &[basic, PROXIED]] {
        assert_eq!(console.ask(VISITORS, headers).await.status(), 200, "{headers:?}");
    }
    assert_eq!(console.ask(LIVE, &[KEY, PROXIED]).await.status(), 401, "a key opens nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_come_in_pages_with_what_a_follow_up_needs() {
    let console = Running::start(None);
    let page = async |more: &str| -> Value {
        let response = console.ask(&format!("{VISITORS}{more}"), &[KEY]).await;
        assert_eq!(response.status(), 200, "{more}");
        response.json().await.unwrap()
    };
    let first = page("&limit=4").await;
    assert_eq!(
        (&first["step"], &first["state"], &first["nameless"]),
        (&"cart".into(), &"dropped".into(), &1.into())
    );
    assert_eq!(first["visitors"].as_array().unwrap().len(), 4);
    assert_eq!(first["visitors"][0]["user_id"], Value::Null);
    assert_eq!(first["visitors"][1]["user_id"], "user2@example.org");
    assert_eq!(first["visitors"][1]["can_go_on"], true);
    let second = page(&format!("&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((second["visitors"].as_array().unwrap().len(), &second["next"]), (2, &Value::Null));
    let mut asked = None;
    console.source.change(|state| asked = state.asked);
    let asked = asked.unwrap();
    assert_eq!((asked.step, asked.limit, asked.after.unwrap().visitor), (1, 100, 0xfeed));
    for mistake in [
        "step=purchase&state=open",
        "step=0&state=open",
        "step=9&state=open",
        "state=open",
        "step=1&state=gone",
        "step=1&state=open&limit=1001",
        "step=1&state=open&cursor=x",
        "step=1&state=open&format=xml",
    ] {
        let path = format!("/api/v1/funnels/shop/purchase/visitors?{mistake}");
        let refused: Value = console.ask(&path, &[KEY]).await.json().await.unwrap();
        assert_eq!(refused["code"], "bad_parameter", "{mistake}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheet_gets_text_and_never_a_formula() {
    let console = Running::start(None);
    for headers in [vec![KEY, ("accept", "text/csv")], vec![KEY]] {
        let format = if headers.len() == 1 { "&format=csv" } else { "" };
        let response = console.ask(&format!("{VISITORS}{format}"), &headers).await;
        assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
        assert_eq!(response.headers()["x-next-cursor"], "2-feed");
        let text = response.text().await.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0], "visitor,user_id,entered_at,reached_at,last_seen_at,can_go_on");
        assert!(lines[1].starts_with("'=HYPERLINK(1),,2024-05-14T23:00:00Z,"), "{}", lines[1]);
    }
    let ladder = console.get(&format!("{LIVE}&breakdown=channel&format=csv")).await;
    assert_eq!(ladder.headers()["content-disposition"], "attachment; filename=\"shop-purchase.csv\"");
    let text = ladder.text().await.unwrap();
    assert_eq!(text.lines().count(), 1 + 5 * 3);
    assert!(text.lines().nth(1).unwrap().starts_with(",view,Viewed a product,click,1000,,1,"), "{text}");
    assert_eq!(console.refusal(&format!("{LIVE}&format=pdf")).await.1, "bad_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_written_by_who_may_and_read_back_in_its_span() {
    let console = Running::start(Some("token"));
    let at = 1_715_731_200_000_i64;
    let note = json!({"site": "shop", "text": "email sent", "at": at});
    let code = async |headers: &[(&str, &str)]| {
        let (status, body) = console.note(&note, headers).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code(&[]).await, (401, "token_needed".to_owned()));
    assert_eq!(code(&[PROXIED]).await.1, "token_needed");
    assert_eq!(code(&[("x-secret-key", "sk_ladder_demo")]).await.1, "wrong_secret_key");
    assert_eq!(code(&[("authorization", "Bearer guess")]).await.1, "wrong_token");
    assert_eq!(code(&[("authorization", "Bearer token"), PROXIED]).await.0, 200);
    assert_eq!(code(&[KEY, PROXIED]).await.0, 200);
    let (_, written) =
        console.note(&json!({"site": "shop", "text": "x", "id": "a", "at": at + 5}), &[KEY]).await;
    assert_eq!(written, json!({"site": "shop", "id": "a", "at": at + 5, "text": "x"}));
    let read =
        console.json(&format!("/api/v1/annotations?site=shop&from={at}&to={}&token=token", at + 5)).await;
    assert_eq!(read["annotations"].as_array().unwrap().len(), 2);
    assert_eq!(read["annotations"][0]["text"], "email sent");
    assert_eq!(console.json("/api/v1/annotations?site=ladder&token=token").await["annotations"], json!([]));
    for mistake in [
        json!({"site": "shop"}),
        json!({"site": "shop", "text": ""}),
        json!({"site": "shop", "text": "x", "b": 1}),
        json!([]),
    ] {
        let (status, body) = console.note(&mistake, &[KEY]).await;
        assert_eq!((status, &body["code"]), (400, &"bad_parameter".into()), "{mistake}");
    }
    let (status, body) =
        console.note(&json!({"site": "none", "text": "x"}), &[("authorization", "Bearer token")]).await;
    assert_eq!((status, &body["code"]), (404, &"unknown_site".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_own_user_name_is_no_secret_key_and_the_token_opens_beside_it() {
    let console = Running::start(Some("token"));
    let proxy = ("authorization", "Basic cHJveHk6cGFzc3dvcmQ=");
    let status = async |query: &str, headers: &[(&str, &str)]| {
        let request = console.client.post(format!("{}/api/v1/annotations{query}", console.url));
        let request = request.json(&json!({"site": "shop", "text": "x"}));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap()["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(status("?token=token", &[proxy, PROXIED]).await.0, 200);
    assert_eq!(status("", &[proxy, PROXIED, KEY]).await.0, 200, "a key in its own header");
    let refused = |code: &str| (401, code.to_owned());
    assert_eq!(status("?token=guess", &[proxy, PROXIED]).await, refused("wrong_token"));
    for headers in [&[proxy, PROXIED][..], &[proxy]] {
        assert_eq!(status("", headers).await, refused("wrong_secret_key"), "{headers:?}");
    }
    let wrong = ("x-secret-key", "sk_ladder_demo");
    assert_eq!(status("?token=token", &[wrong, PROXIED]).await, refused("wrong_secret_key"), "it was meant");
    assert_eq!(
        status("?token=token", &[proxy, PROXIED, ("origin", "https://evil.example")]).await.1,
        "foreign_origin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_removed_by_whom_it_may_be_written() {
    let console = Running::start(Some("token"));
    let note = json!({"site": "shop", "text": "x", "id": "a note"});
    assert_eq!(console.note(&note, &[KEY]).await.0, 200);
    let remove = async |query: &str, headers: &[(&str, &str)]| {
        let request = console.client.delete(format!("{}/api/v1/annotations?{query}", console.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap()["code"].as_str().unwrap_or_default().to_owned())
    };
    let (query, token) = ("site=shop&id=a%20note", ("authorization", "Bearer token"));
    let refused = |status, code: &str| (status, code.to_owned());
    assert_eq!(remove(query, &[]).await, refused(401, "token_needed"));
    assert_eq!(remove(query, &[PROXIED]).await, refused(401, "token_needed"));
    assert_eq!(remove(query, &[("x-secret-key", "sk_ladder_demo")]).await, refused(401, "wrong_secret_key"));
    let evil = ("origin", "https://evil.example");
    assert_eq!(remove(query, &[token, evil]).await, refused(403, "foreign_origin"));
    assert_eq!(remove("site=shop", &[token]).await, refused(400, "bad_parameter"));
    assert_eq!(remove("site=none&id=x", &[token]).await, refused(404, "unknown_site"));
    assert_eq!(remove("site=ladder&id=a%20note", &[token]).await, refused(404, "unknown_note"));
    let notes =
        async || console.json("/api/v1/annotations?site=shop&token=token").await["annotations"].clone();
    assert_eq!(notes().await.as_array().unwrap().len(), 1);
    assert_eq!(remove(query, &[KEY, PROXIED]).await.0, 200);
    assert_eq!(notes().await, json!([]));
    assert_eq!(remove(query, &[token]).await, refused(404, "unknown_note"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_programs_of_this_machine_may_write_and_pages_of_others_not() {
    let console = Running::start(None);
    let note = json!({"site": "shop", "text": "x"});
    assert_eq!(console.note(&note, &[]).await.0, 200);
    let own = console.url.clone();
    assert_eq!(console.note(&note, &[("origin", &own)]).await.0, 200);
    for origin in ["https://evil.example", "null", "http://localhost:1"] {
        assert_eq!(console.note(&note, &[("origin", origin)]).await.1["code"], "foreign_origin", "{origin}");
    }
    let form = console.client.post(format!("{}/api/v1/annotations", console.url)).body(note.to_string());
    assert_eq!(form.header("content-type", "text/plain").send().await.unwrap().status(), 400);
    let large = json!({"site": "shop", "text": "x".repeat(20_000)});
    assert_eq!(console.note(&large, &[]).await.1["detail"]["parameter"], "body");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_that_of_the_sites_time_zone_and_can_be_compared() {
    let console = Running::start(None);
    let now = 1_715_731_200_000 + 7_200_000;
    console.source.change(|state| state.as_of_ms = now);
    let report = async |site: &str, query: &str| {
        let (from, to) = {
            let answer = console
                .json(&format!(
                    "/api/v1/funnels/{site}/{}/report?{query}",
                    if site == "shop" { "purchase" } else { "ladder" }
                ))
                .await;
            (answer["from"].as_i64().unwrap(), answer["to"].as_i64().unwrap())
        };
        [from, to]
    };
    let day = |day: Day, zone| {
        let span = day.span(zone, now);
        [span.from_ms, span.to_ms]
    };
    assert_eq!(report("shop", "day=today").await, day(Day::Today, "UTC"));
    assert_eq!(report("ladder", "day=today").await, day(Day::Today, "America/New_York"));
    assert_eq!(report("ladder", "day=yesterday").await, day(Day::Yesterday, "America/New_York"));
    assert_eq!(report("shop", "day=today&previous=true").await, day(Day::YesterdayUntilNow, "UTC"));
    assert_eq!(report("shop", "day=yesterday&previous=true").await, day(Day::DayBeforeYesterday, "UTC"));
    for mistake in ["day=tomorrow", "day=today&from=1", "day=today&previous=yes", "day=today&day=today"] {
        let path = format!("/api/v1/funnels/shop/purchase/report?{mistake}");
        assert_eq!(console.refusal(&path).await.1, "bad_parameter", "{mistake}");
    }
    let week = 7 * 86_400_000;
    let before = console.json(&format!("{LIVE}&previous=true")).await;
    let until = before["to"].as_i64().unwrap();
    assert_eq!(until % 60_000, 0);
    assert!(
        (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
            - week
            - until)
            < 120_000
    );
    assert_eq!(console.refusal(&format!("{LIVE}&previous=true&as_of=60000")).await.1, "bad_parameter");
}
