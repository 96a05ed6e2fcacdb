//! How the tag is served. What it does on a page is tried in `tests/tag`.

use reqwest::{Client, Method, Response};
use serde_json::json;

use crate::support::{Running, event, read, start, start_with};

async fn get(running: &Running, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let client = Client::builder().no_gzip().build().unwrap();
    let request = client.request(method, format!("{}{path}", running.url));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

#[tokio::test]
async fn the_tag_is_cached_compressed_and_for_every_page() {
    let running = start().await;
    for path in ["/rungs.js", "/rungs-extra.js"] {
        let whole = get(&running, Method::GET, path, &[("origin", "https://anyone.example")]).await;
        assert_eq!(whole.status(), 200);
        for (name, wanted) in [
            ("content-type", "text/javascript; charset=utf-8"),
            ("cache-control", "public, max-age=3600, stale-while-revalidate=86400"),
            ("access-control-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("x-content-type-options", "nosniff"),
            ("vary", "Accept-Encoding"),
        ] {
            assert_eq!(whole.headers()[name], wanted, "{path} {name}");
        }
        assert!(!whole.headers().contains_key("access-control-allow-credentials"));
        let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
        let text = whole.text().await.unwrap();

        let packed = get(&running, Method::GET, path, &[("accept-encoding", "br, gzip;q=0.5")]).await;
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        let packed = packed.bytes().await.unwrap();
        assert!(packed.len() <= 3_072, "{path} has {} bytes", packed.len());
        let mut unpacked = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked).unwrap();
        assert_eq!(unpacked, text);
        let plain = get(&running, Method::GET, path, &[("accept-encoding", "gzip;q=0, br")]).await;
        assert!(!plain.headers().contains_key("content-encoding"));

        let known = format!("\"other\", W/{etag}");
        let known = get(&running, Method::GET, path, &[("if-none-match", &known)]).await;
        assert_eq!((known.status().as_u16(), &known.headers()["etag"]), (304, &etag.parse().unwrap()));
        assert_eq!(known.bytes().await.unwrap().len(), 0);
        let head = get(&running, Method::HEAD, path, &[]).await;
        assert_eq!((head.status().as_u16(), head.bytes().await.unwrap().len()), (200, 0));
    }
}

#[tokio::test]
async fn where_the_tag_is_served_its_events_are_taken() {
    let running = start_with(|settings| settings.tag_path = Some("/assets/site.js".into()), None).await;
    let body = json!({"writeKey": "wk", "batch": [{"event": "a", "anonymousId": "v"}]}).to_string();
    for path in ["/rungs.js", "/assets/site.js"] {
        let request =
            running.client.post(format!("{}{path}", running.url)).header("content-type", "text/plain");
        let (status, answer) = read(request.body(body.clone()).send().await.unwrap()).await;
        assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{path}");
        assert_eq!(get(&running, Method::GET, path, &[]).await.status(), 200);
    }
    assert_eq!(get(&running, Method::GET, "/assets/site-extra.js", &[]).await.status(), 200);
    assert_eq!(get(&running, Method::GET, "/assets/other.js", &[]).await.status(), 404);
    let (status, _) = read(running.post("/rungs-extra.js", event("a")).send().await.unwrap()).await;
    assert_eq!(status, 405);
    running.assert_outcomes(2, 0, 0);
}
