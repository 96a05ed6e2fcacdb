//! What the API answers, and what it refuses.

use rungs_console::PATHS;
use serde_json::Value;

use crate::fake::MinuteState;
use crate::running::{LIVE, Running};

fn at(path: &str) -> String {
    format!("/api/v1/funnels/shop/purchase/{path}")
}

#[tokio::test(flavor = "multi_thread")]
async fn live_tells_rates_steps_and_breakdown_as_described() {
    let console = Running::start(None);
    let answer = console.json(&format!("{LIVE}&breakdown=channel")).await;
    assert_eq!(
        (&answer["site"], &answer["funnel"], &answer["window"]),
        (&"shop".into(), &"purchase".into(), &"7d".into())
    );
    assert_eq!((&answer["state"], answer["progress"].as_f64()), (&"ready".into(), Some(1.0)));
    assert_eq!(answer["as_of"], 1_715_731_200_000_i64);
    let steps = answer["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 5);
    assert_eq!(steps[0]["from_previous"], Value::Null);
    assert_eq!(steps[1]["offered"], Value::Null, "the cart names no offer");
    assert_eq!(steps[4]["skipped"], Value::Null);
    let ratio = steps[1]["visitors"].as_f64().unwrap() / steps[0]["visitors"].as_f64().unwrap();
    assert_eq!(steps[1]["from_previous"].as_f64(), Some(ratio));
    assert_eq!(answer["rates"]["opt_in"], Value::Null);
    let values: Vec<_> =
        answer["breakdown"].as_array().unwrap().iter().map(|part| part["value"].clone()).collect();
    assert_eq!(values, ["email", "direct"], "most visitors first");
    assert_eq!(answer["breakdown"][0]["steps"][0]["skipped"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn drop_off_is_who_did_not_go_on_and_lost_is_who_cannot_any_more() {
    let console = Running::start(None);
    let steps = console.json(LIVE).await["steps"].clone();
    let number = |step: usize, field: &str| steps[step][field].as_i64();
    assert_eq!((number(0, "drop_off"), number(0, "lost")), (None, None));
    for step in 1..5 {
        let drop_off = number(step - 1, "visitors").unwrap() - number(step, "visitors").unwrap();
        assert_eq!(number(step, "drop_off"), Some(drop_off));
        assert_eq!(number(step, "lost"), Some((drop_off - number(step - 1, "open").unwrap()).max(0)));
    }
    assert_eq!(number(4, "open"), None, "nobody can go on from the last step");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_step_has_are_told_with_the_one_that_was_meant() {
    let console = Running::start(None);
    let answer = console.json("/api/v1/sites/shop/events").await;
    let told: Vec<_> = answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| (each["event"].as_str().unwrap(), each["in_plan"] == true, each["did_you_mean"].as_str()))
        .collect();
    let expected = [
        ("product_view", true, None),
        ("prodct_view", false, Some("product_view")),
        ("newsletter", false, None),
    ];
    assert_eq!(told, expected);
    assert_eq!(console.refusal("/api/v1/sites/none/events").await.1, "unknown_site");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_is_told_with_its_steps_or_the_reason_for_none() {
    let console = Running::start(None);
    let answer = console.json("/api/v1/sites/shop/recent").await;
    assert_eq!(answer["as_of"], 1_715_731_200_000_i64);
    let events = answer["events"].as_array().unwrap();
    let names: Vec<_> = events.iter().map(|each| each["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["product_view", "cart", "purchase", "prodct_view"]);
    assert_eq!(events[0]["matches"][0]["step"], "view");
    assert_eq!(events[0]["properties"], serde_json::json!(["channel", "price"]));
    assert_eq!((&events[1]["matches"][0]["as"], &events[1]["why"]), (&"offer".into(), &Value::Null));
    assert_eq!((&events[2]["accepted"], &events[2]["reason"]), (&false.into(), &"invalid_timestamp".into()));
    assert!(events[3]["why"].as_str().unwrap().contains("Did you mean \"product_view\"?"));
    assert_eq!(console.refusal("/api/v1/sites/none/recent").await.1, "unknown_site");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_window_the_longest_is_answered() {
    let console = Running::start(None);
    assert_eq!(console.json(&at("live")).await["window"], "28d");
    assert_eq!(console.json("/api/v1/funnels").await["funnels"][0]["default_window"], "28d");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_hundred_values_are_cut_and_said_to_be() {
    let console = Running::start(None);
    console.source.change(|state| state.values = (0..130).map(|n| (format!("v{n:03}"), n)).collect());
    let answer = console.json(&format!("{LIVE}&breakdown=channel")).await;
    assert_eq!(answer["breakdown"].as_array().unwrap().len(), 100);
    assert_eq!(answer["breakdown"][0]["value"], "v129");
    assert_eq!(answer["truncated"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_says_how_far_it_is_with_old_numbers_or_none() {
    let console = Running::start(None);
    console.source.change(|state| state.building = Some(0.25));
    let answer = console.json(LIVE).await;
    assert_eq!((&answer["state"], answer["progress"].as_f64()), (&"building".into(), Some(0.25)));
    assert_eq!(answer["steps"].as_array().unwrap().len(), 5);
    console.source.change(|state| state.has_numbers = false);
    let answer = console.json(LIVE).await;
    assert_eq!((&answer["as_of"], answer["steps"].as_array().unwrap().len()), (&Value::Null, 0));
    assert_eq!(answer["rates"]["engagement"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minutes_end_is_answered_or_refused_with_its_reason() {
    let console = Running::start(None);
    let minute = 1_715_731_200_000_i64;
    let asked = format!("{LIVE}&as_of={minute}");
    let answer = console.json(&asked).await;
    assert_eq!((&answer["as_of"], &answer["to"]), (&minute.into(), &minute.into()));
    assert_eq!(answer["from"], minute - 7 * 86_400_000);
    let (status, code, body) = console.refusal(&format!("{LIVE}&as_of={}", minute + 1)).await;
    assert_eq!(
        (status, code.as_str(), &body["detail"]["parameter"]),
        (400, "bad_parameter", &"as_of".into())
    );
    assert!(body["message"].as_str().unwrap().contains("whole minute"));
    console.source.change(|state| state.minute = MinuteState::Outside);
    assert_eq!(console.refusal(&asked).await.1, "outside_history");
    console.source.change(|state| state.minute = MinuteState::Incomplete);
    let (status, code, _) = console.refusal(&asked).await;
    assert_eq!((status, code.as_str()), (409, "incomplete_history"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_has_its_code() {
    let console = Running::start(None);
    let (_, _, body) = console.refusal(&at("live?window=2h")).await;
    assert_eq!(body["detail"]["windows"], serde_json::json!(["1h", "24h", "7d", "28d"]));
    let (_, _, body) = console.refusal("/api/v1/funnels/none/purchase/live").await;
    assert_eq!(body["detail"]["sites"], serde_json::json!(["shop", "ladder"]));
    assert!(body["message"].as_str().unwrap().ends_with("it has shop, ladder"), "{body}");
    let (_, _, body) = console.refusal("/api/v1/funnels/shop/none/live").await;
    assert_eq!(body["detail"]["funnels"], serde_json::json!(["purchase"]));
    for (path, status, code) in [
        ("/api/v1/funnels/shop/purchase/live?window=", 400, "unknown_window"),
        ("/api/v1/funnels/shop/purchase/live?window=7d&breakdown=age", 400, "unknown_breakdown"),
        ("/api/v1/funnels/shop/purchase/live?window=7d&as_of=soon", 400, "bad_parameter"),
        ("/api/v1/funnels/shop/purchase/live?window=7d&window=1h", 400, "bad_parameter"),
        ("/api/v1/funnels/shop/purchase/live?windows=7d", 400, "bad_parameter"),
        ("/api/v1/funnels/shop/purchase/report?from=5", 400, "bad_parameter"),
        ("/api/v1/funnels/shop/purchase/report?from=5&to=5", 400, "bad_parameter"),
        ("/api/v1/funnels/shop/purchase/report?from=0&to=9223372036854775807", 400, "bad_parameter"),
        ("/api/v1/funnels/shop/purchase/history?window=7d&points=0", 400, "bad_parameter"),
        ("/api/v1/funnels/shop/purchase/stream?window=9d", 400, "unknown_window"),
        ("/api/v1/funnels/shop/none/live?window=7d", 404, "unknown_funnel"),
        ("/api/v1/funnels/none/purchase/live?window=7d", 404, "unknown_site"),
        ("/api/v1/funnels?site=none", 404, "unknown_site"),
        ("/api/v1/none", 404, "not_found"),
        ("/none", 404, "not_found"),
    ] {
        let (found, said, _) = console.refusal(path).await;
        assert_eq!((found, said.as_str()), (status, code), "{path}");
    }
    console.source.change(|state| state.is_down = true);
    assert_eq!(console.refusal(LIVE).await.0, 503);
    console.plan.send_replace(None);
    assert_eq!(console.refusal(LIVE).await.1, "no_plan");
    assert_eq!(console.json("/api/v1/funnels").await["funnels"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_the_name_that_a_proxy_gave_it_or_one_of_its_own() {
    let console = Running::start(None);
    let named = async |name: &str| {
        let request = console.client.get(format!("{}/api/v1/none", console.url)).header("x-request-id", name);
        let response = request.send().await.unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.json::<Value>().await.unwrap()["request_id"], id);
        id
    };
    assert_eq!(named("proxy-17.a_b").await, "proxy-17.a_b");
    for strange in ["", "a b", "<b>", &"x".repeat(65)] {
        let id = named(strange).await;
        assert!(id.len() == 16 && id != named(strange).await, "{strange}: {id}");
    }
    let answered = console.get("/api/v1/sites").await;
    assert_eq!(answered.headers()["x-request-id"].len(), 16, "answers have one as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_is_said_once_clickhouse_answered() {
    let console = Running::start(None);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !console.health.is_ready() {
        assert!(std::time::Instant::now() < deadline, "{:?}", console.health.missing());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_all_need_it_and_without_one_this_machine_alone_gets_in() {
    let console = Running::start(Some("s3cret"));
    let ask = async |headers: &[(&str, &str)], path: &str| {
        let request = console.client.get(format!("{}{path}", console.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap().status().as_u16()
    };
    let proxied = ("x-forwarded-for", "203.0.113.9");
    assert_eq!(ask(&[], LIVE).await, 401, "a proxy on this machine may look like this");
    assert_eq!(ask(&[proxied], LIVE).await, 401);
    assert_eq!(ask(&[proxied, ("authorization", "Bearer wrong")], LIVE).await, 401);
    assert_eq!(ask(&[proxied, ("authorization", "Bearer s3cret")], LIVE).await, 200);
    assert_eq!(ask(&[proxied], &format!("{LIVE}&token=s3cret")).await, 200);
    assert_eq!(ask(&[proxied], "/").await, 200, "the page holds no numbers");

    let console = Running::start(None);
    for (headers, status) in [(&[][..], 200), (&[("host", "evil.example")], 403), (&[proxied], 403)] {
        let request = console.client.get(format!("{}{LIVE}", console.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        assert_eq!(request.send().await.unwrap().status(), status, "{headers:?}");
    }
}

/// Every field of real answers is in the description, and every path.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_covers_every_path_and_field() {
    let console = Running::start(None);
    let note = warehouse::annotations::Annotation {
        site: "shop".into(),
        id: "a".into(),
        at: 5,
        text: "email sent".into(),
    };
    console.source.change(|state| state.notes.push(note));
    let openapi = console.json("/api/v1/openapi.json").await;
    for (path, _) in PATHS {
        assert!(openapi["paths"][path]["get"].is_object(), "{path}");
    }
    assert_eq!(openapi["paths"].as_object().unwrap().len(), PATHS.len());
    for (path, schema) in [
        ("/api/v1/sites".to_owned(), "Sites"),
        ("/api/v1/funnels".to_owned(), "Funnels"),
        ("/api/v1/sites/shop/events".to_owned(), "Events"),
        ("/api/v1/sites/shop/recent".to_owned(), "Recent"),
        (format!("{LIVE}&breakdown=channel"), "Answer"),
        (at("report?from=0&to=60000"), "Answer"),
        (at("history?window=7d"), "History"),
        ("/api/v1/annotations?site=shop".to_owned(), "Annotations"),
    ] {
        let answer = console.json(&path).await;
        described(&openapi, &openapi["components"]["schemas"][schema], &answer, &path);
    }
    let visitors = console.client.get(format!("{}{}", console.url, at("visitors?step=1&state=open")));
    let visitors: Value =
        visitors.header("x-secret-key", "sk_shop_demo").send().await.unwrap().json().await.unwrap();
    described(&openapi, &openapi["components"]["schemas"]["Visitors"], &visitors, "visitors");
    let (_, _, refusal) = console.refusal("/api/v1/none").await;
    described(&openapi, &openapi["components"]["schemas"]["Error"], &refusal, "Error");
}

fn described(openapi: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return described(openapi, &openapi["components"]["schemas"][name], value, place);
    }
    match value {
        Value::Object(fields) if schema["properties"].is_object() => {
            let known = schema["properties"].as_object().unwrap();
            assert_eq!(
                fields.keys().collect::<Vec<_>>().len(),
                known.len(),
                "{place}: fields and description differ"
            );
            for (name, value) in fields {
                assert!(known.contains_key(name), "{place}.{name} is not described");
                described(openapi, &known[name], value, &format!("{place}.{name}"));
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| described(openapi, &schema["items"], item, &format!("{place}[]")));
        }
        _ => assert!(!schema.is_null(), "{place} is not described"),
    }
}
