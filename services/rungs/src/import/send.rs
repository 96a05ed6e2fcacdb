//! Requests to the collector. What can pass by itself (no connection, 429, 5xx) is tried again with growing, jittered
//! pauses, because a row that is sent twice is one event; any other refusal ends the import with the collector's words.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// A request ends within this time, or is tried again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts of a request, the first included: about three minutes.
const MAX_ATTEMPTS: u32 = 14;
/// Failures after which people are told: a collector that is restarted is back before.
const TOLD_AFTER: u32 = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The collector's answer to a batch.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Sent {
    pub(crate) accepted: u64,
    pub(crate) rejected: Vec<RejectedEvent>,
}

/// An event of a batch that was not stored.
#[derive(Debug, Deserialize)]
pub(crate) struct RejectedEvent {
    /// Its place in the batch, from 0.
    pub(crate) index: usize,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A collector, the key to it, and the site that the rows are for.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    client: Client,
    url: String,
    key: String,
    /// `site=…`, of every request: the collector refuses it if the key is another site's.
    site: String,
}

impl Collector {
    /// Connects with the first request.
    pub(crate) fn new(url: &str, key: &str, site: &str) -> Result<Self, Failure> {
        let client = Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("rungs-import/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let parsed =
            reqwest::Url::parse(url).map_err(|error| Failure::usage(format!("--url {url}: {error}")))?;
        if !["http", "https"].contains(&parsed.scheme()) {
            return Err(Failure::usage(format!("--url {url}: it must begin with http:// or https://")));
        }
        let mut encoded = parsed;
        encoded.query_pairs_mut().clear().append_pair("site", site);
        let site = encoded.query().unwrap_or_default().to_owned();
        Ok(Self { client, url: url.to_owned(), key: key.to_owned(), site })
    }

    /// Sends a batch of an import; the answer means that the accepted events are durable.
    pub(crate) async fn send(&self, import_id: &str, body: Bytes) -> Result<Sent, Failure> {
        let request = || {
            self.request(Method::POST, &format!("/v1/events?import={import_id}"))
                .header("content-type", "application/x-ndjson")
                .body(body.clone())
        };
        self.answered(request).await.and_then(required)
    }

    /// An order that is carried out or refused, with a body of JSON or none.
    pub(crate) async fn order<T: DeserializeOwned>(&self, path: &str, body: String) -> Result<T, Failure> {
        let request = || {
            let request = self.request(Method::POST, path).header("content-type", "application/json");
            request.body(body.clone())
        };
        self.answered(request).await?.map_err(refused)
    }

    /// Any other request of an import. `None`: 404.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Option<T>, Failure> {
        let request = || {
            let request = self.request(method.clone(), path);
            match &body {
                Some(body) => request.header("content-type", "application/json").body(body.clone()),
                None => request,
            }
        };
        self.answered(request).await.map(Result::ok)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let joint = if path.contains('?') { '&' } else { '?' };
        let address = format!("{}{path}{joint}{}", self.url, self.site);
        self.client.request(method, address).bearer_auth(&self.key)
    }

    /// The answer, or what was said with a 404.
    async fn answered<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Result<T, String>, Failure> {
        let mut failures = 0;
        loop {
            let reason = match attempt(request()).await {
                Attempt::Answer(answer) => return Ok(Ok(answer)),
                Attempt::Missing(words) => return Ok(Err(words)),
                Attempt::Refused(reason) => return Err(refused(reason)),
                Attempt::Passing(reason) => reason,
            };
            failures += 1;
            if failures >= MAX_ATTEMPTS {
                let text = format!(
                    "{} did not take it in {MAX_ATTEMPTS} attempts: {reason}; run the same command again to go on",
                    self.url
                );
                return Err(Failure::new(text));
            }
            if failures == TOLD_AFTER {
                eprintln!(
                    "{}: {reason}; trying again for about three minutes. Does `rungs up` (or a collector) run there, or is \
                     --url another address?",
                    self.url
                );
            }
            tokio::time::sleep(pause_after(failures)).await;
        }
    }
}

enum Attempt<T> {
    Answer(T),
    /// 404, and what was said.
    Missing(String),
    /// Trying again can help.
    Passing(String),
    /// It cannot.
    Refused(String),
}

async fn attempt<T: DeserializeOwned>(request: RequestBuilder) -> Attempt<T> {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Attempt::Passing(cause(&error)),
    };
    let status = response.status();
    match status {
        StatusCode::NOT_FOUND => Attempt::Missing(words(response).await),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Attempt::Passing(words(response).await)
        }
        StatusCode::NOT_IMPLEMENTED => Attempt::Refused(words(response).await),
        _ if status.is_server_error() => Attempt::Passing(words(response).await),
        _ if !status.is_success() => Attempt::Refused(words(response).await),
        _ => match response.json().await {
            Ok(answer) => Attempt::Answer(answer),
            Err(error) => Attempt::Passing(format!("its answer cannot be read: {}", cause(&error))),
        },
    }
}

/// The message of the collector's JSON error, or whatever it said.
async fn words(response: Response) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    match serde_json::from_str::<Refusal>(&text) {
        Ok(refusal) => format!("{} ({})", refusal.message, status.as_u16()),
        Err(_) => format!("{status} {}", text.chars().take(200).collect::<String>().trim()),
    }
}

fn refused(reason: String) -> Failure {
    Failure::new(format!("the collector refused: {reason}"))
}

fn required<T>(answer: Result<T, String>) -> Result<T, Failure> {
    answer.map_err(|_| Failure::new("there is no /v1/events at this address: is --url the collector's?"))
}

/// The innermost reason: `Connection refused` instead of `error sending request`.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Between half of and the whole exponential pause.
fn pause_after(failures: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
