//! Batches of other vendors' clients, gzipped as those do. Packing takes longer than receiving, so the requests are made before
//! anything is measured, each connection has its own, and they are sent by turns: the collector does the same work for an
//! event that came before.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use runtime::now_ms;

use crate::BenchError;
use crate::template::{Form, Wire, drawn_name};

/// Requests of a connection.
const REQUESTS: usize = 32;

/// The requests of one connection.
#[derive(Debug, Clone)]
pub struct Packed {
    requests: Vec<Vec<u8>>,
    next: usize,
}

impl Packed {
    /// As [`Requests::new`](crate::template::Requests::new).
    pub fn new(form: &Form, lane: u32, run: u16) -> Result<Self, BenchError> {
        let mut rng = SmallRng::seed_from_u64(u64::from(lane) << 16 | u64::from(run));
        let time = jiff::Timestamp::from_millisecond(now_ms()).unwrap_or_default();
        let requests: Result<_, BenchError> =
            (0..REQUESTS).map(|_| request(form, &mut rng, &format!("{time:.3}"))).collect();
        Ok(Self { requests: requests?, next: 0 })
    }

    /// The next request.
    pub fn next(&mut self) -> &[u8] {
        self.next = (self.next + 1) % self.requests.len().max(1);
        self.requests.get(self.next).map(Vec::as_slice).unwrap_or_default()
    }
}

fn request(form: &Form, rng: &mut SmallRng, time: &str) -> Result<Vec<u8>, BenchError> {
    let events: Vec<String> = (0..form.events).map(|_| event(form, rng, time)).collect();
    let events = events.join(",");
    let body = match form.wire {
        Wire::PostHog => format!(
            r#"{{"api_key":"wk_bench","batch":[{events}],"historical_migration":false,"sent_at":"{time}"}}"#
        ),
        _ => format!(r#"{{"batch":[{events}],"sentAt":"{time}","writeKey":"wk_bench"}}"#),
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body.as_bytes())?;
    let body = gzip.finish()?;
    let mut request = format!(
        "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n",
        form.path,
        form.wire.headers(),
        body.len()
    )
    .into_bytes();
    request.extend(body);
    Ok(request)
}

/// An event as PostHog's client for Python and Segment's for Node write it.
fn event(form: &Form, rng: &mut SmallRng, time: &str) -> String {
    let (name, id) = (drawn_name(rng), format!("{:032x}", rng.random::<u128>()));
    let visitor = rng.random_range(0..form.visitors.max(1));
    match form.wire {
        Wire::PostHog => format!(
            r#"{{"event":"{name}","distinct_id":"v-{visitor:016x}","uuid":"{id}","timestamp":"{time}","properties":{{"plan":"pro","sku":"A-1001","position":3,"$lib":"posthog-python","$lib_version":"6.7.0","$python_version":"3.12.3","$os":"Linux","$geoip_disable":true,"$current_url":"https://shop.example/?utm_source=newsletter&utm_medium=email"}}}}"#
        ),
        _ => format!(
            r#"{{"type":"track","event":"{name}","anonymousId":"v-{visitor:016x}","messageId":"node-next-{id}","timestamp":"{time}","properties":{{"plan":"pro","sku":"A-1001","position":3}},"context":{{"library":{{"name":"@segment/analytics-node","version":"2.3.0"}},"page":{{"url":"https://shop.example/?utm_source=newsletter&utm_medium=email"}}}},"integrations":{{}},"_metadata":{{"nodeVersion":"22.14.0","jsRuntime":"node"}}}}"#
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn every_batch_is_json_of_so_many_events_with_ids_of_their_own() {
        let mut ids = std::collections::HashSet::new();
        for (wire, id) in [(Wire::Segment, "messageId"), (Wire::PostHog, "uuid")] {
            let form = Form { path: "/v1/batch", wire, events: 100, visitors: 50 };
            let mut packed = Packed::new(&form, 1, 1).unwrap();
            for _ in 0..3 {
                let request = packed.next().to_vec();
                let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
                let head = std::str::from_utf8(&request[..end]).unwrap();
                assert!(head.contains(&format!("Content-Length: {}\r\n", request.len() - end)), "{head}");
                let mut body = String::new();
                GzDecoder::new(&request[end..]).read_to_string(&mut body).unwrap();
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                let events = body["batch"].as_array().unwrap();
                assert_eq!(events.len(), 100);
                ids.extend(events.iter().map(|event| event[id].as_str().unwrap().to_owned()));
            }
        }
        assert_eq!(ids.len(), 600);
    }
}
