//! Asks a console over HTTP: `rungs report` and `rungs annotate`. Refusals are told in the console's own words.

use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::import::send::cause;

/// A console, and the token that it may ask for.
pub(crate) struct ConsoleClient {
    client: Client,
    url: String,
    token: Option<String>,
}

impl ConsoleClient {
    /// The console at a URL without a slash at its end.
    pub(crate) fn new(url: &str, token: Option<&str>) -> Self {
        Self { client: Client::new(), url: url.to_owned(), token: token.map(str::to_owned) }
    }

    /// The body of a successful answer.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, String)]) -> Result<String, Failure> {
        let url = &self.url;
        let address = Url::parse_with_params(&format!("{url}{path}"), parameters)
            .map_err(|error| Failure::usage(format!("--url {url}: {error}")))?;
        self.answer(self.client.get(address)).await
    }

    /// Posts JSON, as who has a secret key where one is given; the body of a successful answer.
    pub(crate) async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Result<String, Failure> {
        let url = &self.url;
        let address = Url::parse(&format!("{url}{path}"))
            .map_err(|error| Failure::usage(format!("--url {url}: {error}")))?;
        self.answer(with_key(self.client.post(address).json(body), key)).await
    }

    /// Removes what an address names, as who has a secret key where one is given; the body of a successful answer.
    pub(crate) async fn delete(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        key: Option<&str>,
    ) -> Result<String, Failure> {
        let url = &self.url;
        let address = Url::parse_with_params(&format!("{url}{path}"), parameters)
            .map_err(|error| Failure::usage(format!("--url {url}: {error}")))?;
        self.answer(with_key(self.client.delete(address), key)).await
    }

    async fn answer(&self, request: RequestBuilder) -> Result<String, Failure> {
        let url = &self.url;
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.map_err(|error| {
            let cause = cause(&error);
            Failure::new(format!(
                "{url} does not answer: is `rungs up` running, and is --url its console? ({cause})"
            ))
        })?;
        let status = response.status();
        let text = response.text().await?;
        match status.is_success() {
            true => Ok(text),
            false => Err(Failure::new(
                refusal(&text).unwrap_or_else(|| format!("the console answered {status}: {text}")),
            )),
        }
    }
}

fn with_key(request: RequestBuilder, key: Option<&str>) -> RequestBuilder {
    match key {
        Some(key) => request.header("X-Secret-Key", key),
        None => request,
    }
}

/// The message of the console's JSON error.
fn refusal(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        code: String,
        message: String,
    }
    let Refusal { code, message } = serde_json::from_str(text).ok()?;
    Some(format!("{message} ({code})"))
}
