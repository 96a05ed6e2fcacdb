//! What browsers ask for and need back.

use reqwest::Method;
use serde_json::Value;

use crate::support::{event, read, start};

#[tokio::test]
async fn a_preflight_is_answered_on_every_path() {
    let running = start().await;
    for path in collector::paths().map(|(_, path)| path).chain(["/e/", "/v1/imports/x"]) {
        let request = running.client.request(Method::OPTIONS, format!("{}{path}?key=x", running.url));
        let response = request
            .header("origin", "https://anyone.example")
            .header("access-control-request-headers", "authorization,x-retry-count")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("access-control-allow-origin"), "https://anyone.example");
        assert_eq!(header("access-control-max-age"), "600");
        let allowed = header("access-control-allow-headers");
        for name in ["authorization", "content-type", "x-write-key", "x-retry-count", "content-encoding"] {
            assert!(allowed.contains(name), "{allowed}");
        }
    }
}

#[tokio::test]
async fn an_origin_that_is_not_allowed_is_403_and_may_read_that() {
    let running = start().await;
    for (origin, status) in [
        ("https://shop.example", 200),
        ("https://SHOP.example", 200),
        ("https://evil.example", 403),
        ("https://shop.example.evil", 403),
        ("null", 403),
    ] {
        let response = running.post("/v1/track", event("a")).header("origin", origin).send().await.unwrap();
        assert_eq!(response.headers()["access-control-allow-origin"], origin);
        assert!(
            response.headers()["access-control-expose-headers"].to_str().unwrap().contains("Retry-After")
        );
        let (found, answer) = read(response).await;
        assert_eq!(found, status, "{origin}");
        if status == 403 {
            assert_eq!(answer["code"], Value::from("origin_not_allowed"));
        }
    }
    let blog = running.client.post(format!("{}/v1/track?key=wk_blog", running.url)).body(event("a"));
    assert_eq!(read(blog.header("origin", "null").send().await.unwrap()).await.0, 200);
    running.assert_outcomes(3, 0, 3);
}

#[tokio::test]
async fn errors_carry_cors_headers_whoever_asks() {
    let running = start().await;
    for path in ["/v1/track", "/nothing"] {
        let response = running.client.post(format!("{}{path}", running.url)).body("x").send().await.unwrap();
        assert!(response.status().is_client_error());
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
    }
}
