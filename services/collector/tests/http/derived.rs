//! What the collector adds to an event: revenue, channel, device, country; and what it leaves out.

use serde_json::json;

use crate::support::{event, read, start, start_with};

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

#[tokio::test]
async fn revenue_is_read_from_the_properties() {
    let running = start().await;
    let with = |properties: serde_json::Value| json!({"event": "e", "userId": "u", "properties": properties});
    for (revenue, currency, expected) in [
        (json!(19.99), json!("eur"), (199_900, true, "EUR")),
        (json!("5"), json!("dollar"), (50_000, true, "")),
        (json!(0), json!("USD"), (0, true, "USD")),
        (json!("12 EUR"), json!("EUR"), (0, false, "")),
        (json!(null), json!("EUR"), (0, false, "")),
    ] {
        let stored = running.stored(with(json!({"revenue": revenue, "currency": currency}))).await;
        assert_eq!((stored.revenue_e4, stored.has_revenue, stored.currency.as_str()), expected, "{revenue}");
    }
    assert!(!running.stored(with(json!({"cart": {"revenue": 1}}))).await.has_revenue);
}

#[tokio::test]
async fn the_context_tells_the_campaign_and_only_its_listed_part_is_stored() {
    let running = start().await;
    let stored = running
        .stored(json!({"event": "e", "userId": "u", "context": {
            "ip": "203.0.113.9", "userAgent": CHROME, "traits": {"email": "a@b.c"}, "locale": "de",
            "page": {"url": "https://shop.example/a?utm_source=facebook&utm_medium=cpc&utm_campaign=may&token=1"},
        }}))
        .await;
    assert_eq!(stored.context, r#"{"locale":"de","page":{"url":"https://shop.example/a"}}"#);
    assert_eq!((stored.channel.as_str(), stored.source.as_str()), ("paid_social", "facebook"));
    assert_eq!((stored.medium.as_str(), stored.campaign.as_str()), ("cpc", "may"));
    assert_eq!(
        (stored.device.as_str(), stored.browser.as_str(), stored.os.as_str()),
        ("desktop", "Chrome", "Linux")
    );
}

#[tokio::test]
async fn a_browsers_own_header_tells_its_device_and_a_servers_does_not() {
    let running = start().await;
    for (user_agent, device) in
        [(CHROME, "desktop"), ("analytics-node-next/latest", ""), ("Mozilla/5.0 Umami/v20", "")]
    {
        let request = running.post("/v1/track", event(user_agent)).header("user-agent", user_agent);
        assert_eq!(read(request.send().await.unwrap()).await.0, 200);
        let stored = running.events().into_iter().find(|event| event.event == user_agent).unwrap();
        assert_eq!(stored.device, device, "{user_agent}");
    }
}

#[tokio::test]
async fn the_country_comes_only_from_the_configured_header() {
    let running = start_with(|settings| settings.country_header = Some("CF-IPCountry".into()), None).await;
    for (name, value, country) in
        [("cf-ipcountry", "de", "DE"), ("cf-ipcountry", "T1x", ""), ("x-country", "de", "")]
    {
        let id = format!("{name}{value}");
        let request = running.post("/v1/track", event(&id)).header(name, value);
        assert_eq!(read(request.send().await.unwrap()).await.0, 200);
        let stored = running.events().into_iter().find(|event| event.event == id).unwrap();
        assert_eq!(stored.country, country);
    }
}

#[tokio::test]
async fn each_event_of_a_batch_has_what_its_own_context_tells() {
    let running = start().await;
    let shop = json!({"page": {"url": "https://shop.example/?utm_source=may&utm_medium=email"}});
    let phone = json!({"os": {"name": "iOS"}, "page": {"url": "https://shop.example/"}});
    let contexts = [Some(&shop), Some(&shop), Some(&phone), None, Some(&shop), Some(&phone), Some(&phone)];
    let event = |(number, context): (usize, &Option<&serde_json::Value>)| {
        json!({"event": "view", "userId": "u", "messageId": format!("m{number}"), "context": context})
            .to_string()
    };
    let lines: Vec<_> = contexts.iter().enumerate().map(event).collect();
    let answer = running.ok("/v1/events", lines.join("\n")).await;
    assert_eq!(answer["accepted"], 7);
    let stored = running.events();
    let told = |number: usize| {
        let event = stored.iter().find(|event| event.message_id == format!("m{number}")).unwrap();
        (
            event.channel.as_str(),
            event.source.as_str(),
            event.os.as_str(),
            event.context.contains("shop.example"),
        )
    };
    for (number, context) in contexts.iter().enumerate() {
        let expected = match context {
            None => ("direct", "", "", false),
            Some(context) if *context == &shop => ("email", "may", "", true),
            Some(_) => ("direct", "", "iOS", true),
        };
        assert_eq!(told(number), expected, "{number}");
    }
}
