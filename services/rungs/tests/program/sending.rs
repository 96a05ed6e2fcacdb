//! Events on their way to the collector, in every form that it takes.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};

/// One event of a client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) visitor: String,
    pub(crate) event: String,
    pub(crate) id: String,
    /// UTC milliseconds; none: when it is received.
    pub(crate) at_ms: Option<i64>,
    pub(crate) channel: String,
}

/// How events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `/v1/track`, one event.
    Track,
    /// `/v1/pixel.gif`, one event.
    Pixel,
    Batch,
    Array,
    Ndjson,
    GzippedNdjson,
    /// `/v1/beacon`, the key in the address.
    Beacon,
}

impl Form {
    pub(crate) const ALL: [Self; 7] =
        [Self::Track, Self::Pixel, Self::Batch, Self::Array, Self::Ndjson, Self::GzippedNdjson, Self::Beacon];

    /// Whether a request carries one event only.
    pub(crate) fn is_single(self) -> bool {
        matches!(self, Self::Track | Self::Pixel)
    }

    /// The request that carries these events.
    pub(crate) fn request(
        self,
        client: &Client,
        collector: &str,
        key: &str,
        events: &[Event],
    ) -> RequestBuilder {
        let post = |path: &str, body: Vec<u8>| client.post(format!("{collector}{path}")).body(body);
        let with_key = |request: RequestBuilder| request.header("x-write-key", key);
        let array = || Value::Array(events.iter().map(Event::json).collect());
        match self {
            Self::Track => with_key(post("/v1/track", events[0].json().to_string().into_bytes())),
            Self::Pixel => client.get(events[0].pixel(collector, key)),
            Self::Batch => {
                post("/v1/batch", json!({"batch": array(), "writeKey": key}).to_string().into_bytes())
            }
            Self::Array => with_key(post("/v1/events", array().to_string().into_bytes())),
            Self::Ndjson => with_key(post("/v1/events", lines(events))),
            Self::GzippedNdjson => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                gzip.write_all(&lines(events)).unwrap();
                with_key(post("/v1/events", gzip.finish().unwrap())).header("content-encoding", "gzip")
            }
            Self::Beacon => {
                post(&format!("/v1/beacon?key={key}"), lines(events)).header("content-type", "text/plain")
            }
        }
    }
}

impl Event {
    fn json(&self) -> Value {
        let mut event = json!({"type": "track", "event": self.event, "anonymousId": self.visitor,
            "messageId": self.id, "properties": {"channel": self.channel}});
        if let Some(at_ms) = self.at_ms {
            event["timestamp"] = at_ms.into();
        }
        event
    }

    fn pixel(&self, collector: &str, key: &str) -> Url {
        let mut pairs = vec![
            ("key", key.to_owned()),
            ("event", self.event.clone()),
            ("anonymousId", self.visitor.clone()),
            ("messageId", self.id.clone()),
            ("channel", self.channel.clone()),
        ];
        pairs.extend(self.at_ms.map(|at_ms| ("timestamp", at_ms.to_string())));
        Url::parse_with_params(&format!("{collector}/v1/pixel.gif"), pairs).unwrap()
    }
}

fn lines(events: &[Event]) -> Vec<u8> {
    events.iter().map(|event| format!("{}\n", event.json())).collect::<String>().into_bytes()
}

/// How many events an answer acknowledges; none if it is no success.
pub(crate) async fn acknowledged(request: RequestBuilder) -> Option<u64> {
    let answer = request.send().await.ok()?;
    if answer.status() != 200 {
        return None;
    }
    if answer.headers().get("content-type").is_some_and(|kind| kind == "image/gif") {
        // A pixel answers a picture also where nothing was stored.
        return Some(0);
    }
    let answer: Value = answer.json().await.ok()?;
    answer["accepted"].as_u64()
}

/// The clickstream of `examples/shop`, in the file's order.
pub(crate) fn clickstream() -> Vec<Event> {
    let file = std::fs::File::open(super::root().join("examples/shop/clickstream.csv.gz")).unwrap();
    let mut rows = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let read = |(index, row): (usize, Result<csv::StringRecord, csv::Error>)| {
        let row = row.unwrap();
        let at: jiff::civil::DateTime = row[3].parse().unwrap();
        Event {
            visitor: row[0].to_owned(),
            event: row[2].to_owned(),
            id: format!("row-{index}"),
            at_ms: Some(at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond()),
            channel: row[5].to_owned(),
        }
    };
    rows.records().enumerate().map(read).collect()
}
