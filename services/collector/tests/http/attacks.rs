//! What attackers send, and the answer that each gets: the table of `docs/http-api.md` ("Attacks"). What other files have
//! already is not here: origins in `browsers`, flaws of events in `rejections`, floods in `quotas`.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Running, event, read, start, start_with};

/// Where a link must not lead, as it may be written to look as if it led to the shop.
const REDIRECTS: [&str; 36] = [
    "//evil.example",
    "///evil.example",
    "////evil.example/%2e%2e",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:\\\\evil.example",
    "http://shop.example/",
    "https://shop.example:8443/",
    "https://shop.example@evil.example/",
    "https://shop.example:pw@evil.example/",
    "https://evil.example#@shop.example/",
    "https://evil.example?@shop.example/",
    "https://evil.example\\@shop.example/",
    "https://evil.example/https://shop.example/",
    "https://shop.example.evil.example/",
    "https://evilshop.example/",
    "https://shop.example%2eevil.example/",
    "https://shop.example%00.evil.example/",
    "https://shop.example%23.evil.example/",
    "https://shop.example%2f@evil.example/",
    "https://shop\u{3002}example.evil.example/",
    "https://\u{ff53}hop.evil.example/",
    "https://shop.example\u{2044}.evil.example/",
    "https://xn--shop-.example/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://[::1]/",
    "\thttps://evil.example/",
    "ht\ntps://evil.example/",
    "javascript://shop.example/%0aalert(1)",
    "data:text/html,https://shop.example/",
    "https://partner.example/sale/%2e%2e/admin",
];

#[tokio::test]
async fn no_spelling_of_a_link_leads_where_the_plan_does_not() {
    let running = start().await;
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    for to in REDIRECTS {
        // As one writes it, and encoded once more: a value is decoded once.
        let once: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let twice: String = url::form_urlencoded::byte_serialize(once.as_bytes()).collect();
        for written in [once, twice] {
            let link = format!("{}/v1/click?key=wk&event=a&anonymousId=v&to={written}", running.url);
            let response = client.get(link).send().await.unwrap();
            assert_eq!(response.status(), 403, "{to:?}");
            assert!(!response.headers().contains_key("location"), "{to:?}");
        }
    }
    running.assert_outcomes(0, 0, 0);
}

/// The whole answer to bytes as they are; the connection is read until it ends or one answer is there.
async fn answer_to(running: &Running, request: &str) -> String {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 8192]);
    let until_whole = async {
        loop {
            let bytes = stream.read(&mut buffer).await.unwrap_or_default();
            text += &String::from_utf8_lossy(&buffer[..bytes]);
            let length = text
                .to_ascii_lowercase()
                .split_once("content-length: ")
                .map(|(_, rest)| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
            if bytes == 0 || body.zip(length).is_some_and(|(body, length)| body >= length) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), until_whole).await.expect("an answer");
    text
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn nothing_that_is_sent_becomes_a_header_or_a_line_of_a_log() {
    let running = start().await;
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    // An id of a request is told only if it is a plain one.
    for id in ["a b", "a\tb", "<script>", "a;b=c", &"x".repeat(65), "é"] {
        let value = reqwest::header::HeaderValue::from_bytes(id.as_bytes()).unwrap();
        let request = running.post("/v1/track", event("a")).header("x-request-id", value);
        let response = request.send().await.unwrap();
        let told = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert!(told.len() == 16 && told.bytes().all(|byte| byte.is_ascii_hexdigit()), "{told}");
    }
    // Ends of lines in what becomes a header.
    let link = "key=wk&event=a&anonymousId=v%0d%0aSet-Cookie:%20a=b&to=https://shop.example/";
    let response = client.get(format!("{}/v1/click?{link}", running.url)).send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert!(!response.headers().contains_key("set-cookie"));
    assert_eq!(response.headers()["location"], "https://shop.example/?rungs_id=v%0D%0ASet-Cookie%3A+a%3Db");
    let answer =
        answer_to(&running, "GET /v1/pixel.gif HTTP/1.1\r\nhost: x\r\norigin: a\r\n\tb: c\r\n\r\n").await;
    assert!(status(&answer) == 400 && !answer.contains("b: c"), "{answer}");
    // Control characters are not stored as a name, and are escaped in what is told of them.
    for name in ["a\\nb", "a\\u001b[31mb", "a\\u0085b", "a\\rb"] {
        let answer = running.ok("/v1/track", format!(r#"{{"event":"{name}","anonymousId":"v"}}"#)).await;
        assert_eq!(answer["rejected"][0]["code"], "invalid_event", "{answer}");
    }
    let response = running.post("/v1/track", event("a")).header("origin", "https://evil.example/<b>").send();
    let body = response.await.unwrap().text().await.unwrap();
    assert!(serde_json::from_str::<Value>(&body).is_ok() && body.contains("origin_not_allowed"), "{body}");
}

fn zipped(how: &str, body: &[u8]) -> Vec<u8> {
    let best = Compression::best();
    match how {
        "gzip" => {
            let mut gzip = GzEncoder::new(Vec::new(), best);
            gzip.write_all(body).unwrap();
            gzip.finish().unwrap()
        }
        "zlib" => {
            let mut zlib = ZlibEncoder::new(Vec::new(), best);
            zlib.write_all(body).unwrap();
            zlib.finish().unwrap()
        }
        "deflate" => {
            let mut deflate = DeflateEncoder::new(Vec::new(), best);
            deflate.write_all(body).unwrap();
            deflate.finish().unwrap()
        }
        "br" => {
            let mut packed = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams { quality: 3, ..Default::default() };
            brotli::BrotliCompress(&mut &body[..], &mut packed, &parameters).unwrap();
            packed
        }
        _ => zstd::encode_all(body, 3).unwrap(),
    }
}

#[tokio::test]
async fn a_bomb_in_any_encoding_is_413_and_costs_no_more_than_the_limit() {
    let running = start_with(|settings| settings.max_expanded_bytes = 1 << 20, None).await;
    let spaces = vec![b' '; 24 << 20];
    let gzip = zipped("gzip", &spaces);
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&gzip)
    };
    let bombs: [(&str, Vec<u8>); 8] = [
        ("gzip", gzip.clone()),
        ("deflate", zipped("zlib", &spaces)),
        ("deflate", zipped("deflate", &spaces)),
        ("br", zipped("br", &spaces)),
        ("zstd", zipped("zstd", &spaces)),
        // One within another, unnamed, and as a field of a form.
        ("br, gzip", zipped("gzip", &zipped("br", &spaces))),
        ("", gzip),
        ("", format!("data={base64}").into_bytes()),
    ];
    for (encoding, bomb) in bombs {
        assert!(bomb.len() < 100_000, "{encoding}: {}", bomb.len());
        for content_type in ["application/json", "application/x-ndjson"] {
            let request = running.post("/v1/events", bomb.clone()).header("content-type", content_type);
            let request =
                if encoding.is_empty() { request } else { request.header("content-encoding", encoding) };
            let (status, answer) = read(request.send().await.unwrap()).await;
            // Long NDJSON has one encoding at most, and is no form.
            let is_known =
                content_type == "application/json" || !encoding.contains(',') && !bomb.starts_with(b"data=");
            if is_known {
                assert_eq!(
                    (status, &answer["code"]),
                    (413, &json!("body_too_large")),
                    "{encoding} {content_type}"
                );
            } else {
                assert!([400, 413].contains(&status), "{encoding} {content_type}: {answer}");
            }
        }
    }
    let deep = (0..8).fold(event("a").into_bytes(), |body, _| zipped("gzip", &body));
    let request = running.post("/v1/events", deep).header("content-encoding", ["gzip"; 8].join(","));
    let (status, answer) = read(request.send().await.unwrap()).await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_encoding")), "{answer}");
    running.assert_outcomes(0, 0, 0);
}

#[tokio::test]
async fn connections_that_say_nothing_or_little_are_ended_and_nobody_waits_for_them_for_long() {
    let running = start_with(
        |settings| {
            settings.head_timeout_ms = 1_000;
            settings.max_connections = 150;
            settings.address_share_percent = 100;
        },
        None,
    )
    .await;
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"POST /v1/track?key=wk HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        }
        silent.push(stream);
    }
    let asked = tokio::time::timeout(Duration::from_secs(20), running.ok("/v1/track", event("a"))).await;
    assert_eq!(asked.expect("an answer in time")["accepted"], 1);
    for mut stream in silent {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it is open still");
    }
    running.assert_outcomes(1, 0, 0);
}

#[tokio::test]
async fn json_that_is_made_to_hurt_costs_nothing_and_is_told() {
    let running = start_with(|settings| settings.max_event_bytes = 1 << 20, None).await;
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
    for properties in [deep("[", "]"), deep("{\"a\":", "}")] {
        let sent = format!(r#"{{"event":"e","anonymousId":"v","properties":{{"x":{properties}}}}}"#);
        let answer = running.ok("/v1/events", sent).await;
        let code = answer["rejected"][0]["code"].as_str().unwrap();
        assert!(["too_deep", "event_too_large"].contains(&code), "{answer}");
    }
    for body in ["[".repeat(1_000_000), "{\"a\":".repeat(500_000), "{\"batch\":".repeat(300_000)] {
        let (status, answer) = read(running.post("/v1/batch", body).send().await.unwrap()).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_body")), "{answer}");
    }
    // The last of a field that is there twice counts, for the event and for what is in it.
    let twice = r#"{"event":"a","event":"b","anonymousId":"x","anonymousId":"v","properties":{"p":1},"properties":{"p":2,"p":3}}"#;
    running.ok("/v1/events", twice).await;
    let stored = running.events().remove(0);
    assert_eq!(
        (stored.event.as_str(), stored.visitor_id.as_str(), stored.properties.as_str()),
        ("b", "v", r#"{"p":2,"p":3}"#)
    );
    // Numbers of any size are stored as they are written, or rejected; a revenue beyond all bounds is none.
    let digits = "9".repeat(400);
    for (number, accepted) in [
        ("1e308", 1),
        ("-1e308", 1),
        ("1e-400", 1),
        ("1e309", 0),
        (digits.as_str(), 0),
        ("9007199254740993", 1),
    ] {
        let sent = format!(r#"{{"event":"e","anonymousId":"v","properties":{{"revenue":{number}}}}}"#);
        assert_eq!(running.ok("/v1/events", sent).await["accepted"], accepted, "{number}");
    }
    for number in ["1e308", "-1e308"] {
        let properties = format!(r#"{{"revenue":{number}}}"#);
        let of_it = running.events().into_iter().find(|event| event.properties == properties).unwrap();
        assert_eq!(of_it.revenue_e4, 0, "{number}");
    }
}

#[tokio::test]
async fn a_path_means_what_it_says_and_nothing_else() {
    let running = start().await;
    let body = event("a");
    let length = body.len();
    for path in [
        "/v1/../v1/track",
        "/./v1/track",
        "//v1/track",
        "/v1//track",
        "/v1/track/",
        "/V1/TRACK",
        "/v1/%74rack",
        "/v1%2ftrack",
        "/v1/track%00",
        "/v1/track;a=b",
        "/v1/track%20",
        "/v1/imports/../events",
        "/v1/imports/%2e%2e%2fevents/complete/x",
        "/rungs.js/../v1/track",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
    ] {
        let request =
            format!("POST {path}?key=wk HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        let answer = answer_to(&running, &request).await;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
        assert!(answer.contains("\"code\":\"not_found\""), "{path}: {answer}");
    }
    running.assert_outcomes(0, 0, 0);
}

#[tokio::test]
async fn a_request_has_one_length() {
    let running = start().await;
    let hidden = "POST /v1/track?key=wk HTTP/1.1\r\nhost: x\r\ncontent-length: 33\r\n\r\n{\"event\":\"a\",\"anonymousId\":\"v1\"}\n";
    for heads in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: -5",
        "content-length: +5",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
    ] {
        let request =
            format!("POST /v1/track?key=wk HTTP/1.1\r\nhost: x\r\n{heads}\r\n\r\n0\r\n\r\n{hidden}");
        let answer = answer_to(&running, &request).await;
        assert_eq!(status(&answer), 400, "{heads}: {answer}");
        assert!(!answer.contains("\"accepted\":1"), "{heads}: {answer}");
    }
    assert!(running.events().is_empty());
}
