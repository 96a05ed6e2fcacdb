//! Every form in which events come in.

use std::io::Write;

use base64::Engine as _;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use prost::Message;
use rungs_proto::v1;
use serde_json::json;

use crate::support::{assert_uncached, event, read, start};

#[tokio::test]
async fn each_single_event_path_gives_its_kind() {
    let running = start().await;
    let cases = [
        ("track", "t", v1::Kind::Track, "view"),
        ("page", "p", v1::Kind::Page, "$page"),
        ("screen", "s", v1::Kind::Screen, "$screen"),
        ("identify", "i", v1::Kind::Identify, "$identify"),
        ("alias", "a", v1::Kind::Alias, "$alias"),
        ("group", "g", v1::Kind::Group, "$group"),
    ];
    for (long, short, kind, name) in cases {
        for path in [long, short] {
            let id = format!("{path}-1");
            let body = json!({"event": "view", "userId": 7, "messageId": id, "traits": {"email": "a@b.c"}});
            running.ok(&format!("/v1/{path}"), body.to_string()).await;
            let stored = running.events().into_iter().find(|event| event.message_id == id).unwrap();
            assert_eq!((stored.kind(), stored.event.as_str()), (kind, name), "{path}");
            assert_eq!((stored.visitor_id.as_str(), stored.user_id.as_str()), ("7", "7"));
            assert_eq!(stored.properties, "", "traits are not stored");
        }
    }
    running.assert_outcomes(12, 0, 0);
}

#[tokio::test]
async fn the_answer_is_the_documented_one() {
    let running = start().await;
    let answer = running.post("/v1/track", event("view")).send().await.unwrap().text().await.unwrap();
    let expected = r#"{"ok":true,"success":true,"status":"Ok","accepted":1,"rejected":[],"results":{}}"#;
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn objects_arrays_and_lines_are_told_apart_by_their_bytes() {
    let running = start().await;
    let (a, b) = (event("a"), event("b"));
    let bodies = [
        (a.clone(), 1),
        (" \n{\n \"event\": \"a\",\n \"userId\": \"u\"\n}\n".to_owned(), 1),
        (format!("[{a},\n{b}]"), 2),
        ("[]".into(), 0),
        (format!("{a}\n{b}\n"), 2),
        (format!("{a}\r\n\r\n{b}"), 2),
    ];
    for (body, accepted) in bodies {
        for path in ["/v1/events", "/v1/beacon"] {
            for content_type in ["text/plain", "application/json", "application/x-www-form-urlencoded"] {
                let request = running.post(path, body.clone()).header("content-type", content_type);
                let (status, answer) = read(request.send().await.unwrap()).await;
                assert_eq!((status, &answer["accepted"]), (200, &json!(accepted)), "{body}");
            }
        }
    }
    running.assert_outcomes(48, 0, 0);
}

#[tokio::test]
async fn a_batch_gives_its_events_their_kind_time_and_key() {
    let running = start().await;
    let body = json!({
        "batch": [
            {"type": "track", "event": "view", "anonymousId": "v", "context": {}, "messageId": "m1"},
            {"type": "page", "name": "Home", "userId": "u", "properties": {"a": 1}, "messageId": "m2"},
        ],
        "sentAt": "2026-11-22T02:30:18.052Z", "writeKey": "wk", "metadata": [1e2],
    });
    let request = running.client.post(format!("{}/v1/batch", running.url)).body(body.to_string());
    let (status, answer) = read(request.send().await.unwrap()).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(2)), "{answer}");
    let mut events = running.events();
    events.sort_by(|a, b| a.message_id.cmp(&b.message_id));
    assert_eq!((events[0].site.as_str(), events[0].event.as_str()), ("shop", "view"));
    assert_eq!(
        (events[1].event.as_str(), events[1].properties.as_str()),
        ("$page", r#"{"name":"Home","a":1}"#)
    );
}

#[tokio::test]
async fn order_is_kept_and_properties_stay_as_they_were_written() {
    let running = start().await;
    let properties = r#"{ "b":1.0, "a" : 1e2,"a":"\u00fc", "big":123456789012345678901234567890 }"#;
    let lines: String = (0..500)
        .map(|n| format!("{{\"event\":\"e{n}\",\"anonymousId\":\"v\",\"properties\":{properties}}}\n"))
        .collect();
    assert_eq!(running.ok("/v1/events", lines).await["accepted"], 500);
    assert_eq!(running.names(), (0..500).map(|n| format!("e{n}")).collect::<Vec<_>>());
    assert!(running.events().iter().all(|event| event.properties == properties));
}

#[tokio::test]
async fn the_last_of_two_equal_fields_counts() {
    let running = start().await;
    let body = r#"{"event":"first","event":"last","\u0061nonymousId":"v","anonymousId":"w"}"#;
    running.ok("/v1/track", body).await;
    assert_eq!((running.names(), running.events()[0].visitor_id.as_str()), (vec!["last".to_owned()], "w"));
}

#[tokio::test]
async fn an_alias_and_a_group_keep_the_id_they_are_about() {
    let running = start().await;
    let alias = running.stored(json!({"type": "alias", "previousId": "anon", "userId": "u"})).await;
    assert_eq!((alias.visitor_id.as_str(), alias.properties.as_str()), ("u", r#"{"previousId":"anon"}"#));
    let group = json!({"type": "group", "groupId": "g\"1", "userId": "u", "properties": {}});
    assert_eq!(running.stored(group).await.properties, r#"{"groupId":"g\"1"}"#);
}

fn protobuf(name: &str) -> v1::Event {
    v1::Event {
        site: "other".into(),
        event: name.into(),
        visitor_id: "v".into(),
        ts_ms: 1_700_000_000_000,
        properties: r#"{"plan":"pro"}"#.into(),
        revenue_e4: 199_900,
        has_revenue: true,
        currency: "eur".into(),
        channel: "made up".into(),
        ..v1::Event::default()
    }
}

#[tokio::test]
async fn protobuf_comes_alone_or_as_a_delimited_stream() {
    let running = start().await;
    let stream: Vec<u8> =
        ["b", "c"].into_iter().flat_map(|n| protobuf(n).encode_length_delimited_to_vec()).collect();
    for (body, accepted) in [(protobuf("a").encode_to_vec(), 1), (stream, 2)] {
        let request = running.post("/v1/events", body).header("content-type", "application/x-protobuf");
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert_eq!((status, &answer["accepted"]), (200, &json!(accepted)), "{answer}");
    }
    let stored = &running.events()[0];
    assert_eq!((stored.site.as_str(), stored.ts_ms), ("shop", 1_700_000_000_000));
    assert_eq!(
        (stored.revenue_e4, stored.currency.as_str(), stored.channel.as_str()),
        (199_900, "EUR", "direct")
    );
    assert_eq!(running.names(), ["a", "b", "c"]);
}

#[tokio::test]
async fn every_encoding_is_undone() {
    let running = start().await;
    let plain = event("view");
    let text = plain.as_bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(text).unwrap();
    let mut raw_deflate = DeflateEncoder::new(Vec::new(), Compression::default());
    raw_deflate.write_all(text).unwrap();
    let mut br = Vec::new();
    brotli::BrotliCompress(&mut &text[..], &mut br, &brotli::enc::BrotliEncoderParams::default()).unwrap();
    let zstd = zstd::encode_all(plain.as_bytes(), 3).unwrap();
    let zstd_of_gzip = zstd::encode_all(&gzip[..], 3).unwrap();
    let cases = [
        ("gzip", gzip.clone()),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", raw_deflate.finish().unwrap()),
        ("br", br),
        ("zstd", zstd),
        ("gzip, zstd", zstd_of_gzip),
        ("identity", gzip),
    ];
    for (encoding, body) in cases {
        let request = running.post("/v1/events", body).header("content-encoding", encoding);
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{encoding}: {answer}");
    }
    running.assert_outcomes(7, 0, 0);
}

#[tokio::test]
async fn a_pixel_is_always_a_picture_and_counts_what_it_could_not_store() {
    let running = start().await;
    let data = base64::engine::general_purpose::STANDARD.encode(event("from_data"));
    let queries = [
        "key=wk&event=open&userId=u&mail=may&utm_medium=email".to_owned(),
        format!("key=wk&data={}", data.replace('+', "%2B")),
        "key=wk&event=open".to_owned(),
        "event=open&userId=u".to_owned(),
        "key=wk&data=***".to_owned(),
    ];
    for query in &queries {
        let response =
            running.client.get(format!("{}/v1/pixel.gif?{query}", running.url)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(
            (&response.headers()["content-type"], &response.headers()["cross-origin-resource-policy"]),
            (&"image/gif".parse().unwrap(), &"cross-origin".parse().unwrap())
        );
        assert_uncached(response.headers());
        assert!(response.bytes().await.unwrap().starts_with(b"GIF89a"));
    }
    let events = running.events();
    assert_eq!(events.len(), 2);
    let open = events.iter().find(|event| event.event == "open").unwrap();
    assert_eq!((open.properties.as_str(), open.channel.as_str()), (r#"{"mail":"may"}"#, "email"));
    assert_eq!(running.metric(r#"rungs_collector_rejected_events_total{reason="missing_visitor"}"#), 1.0);
    assert_eq!(running.metric(r#"rungs_collector_rejected_events_total{reason="not_an_object"}"#), 1.0);
    running.assert_outcomes(2, 2, 1);
}

#[tokio::test]
async fn the_root_tells_what_this_is() {
    let running = start().await;
    let response = running.client.get(&running.url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.text().await.unwrap().contains("docs/http-api.md"));
}
