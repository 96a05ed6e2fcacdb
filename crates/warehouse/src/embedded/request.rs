//! A request of ClickHouse's HTTP interface as one value: query, database, format, parameters, settings, encodings.
//!
//! Pure, from the URL, the headers and (for forms) the fields of the body. URL parameters that are neither known here
//! nor transport options are settings, as in ClickHouse; the engine refuses unknown names with code 115.

use std::collections::BTreeMap;

use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};

use super::EmbeddedError;
use super::encoding::{Content, Encoding};
use super::library::Parameter;

/// URL parameters that clients send and that mean nothing here: who asks (nobody is asked for a password), sessions,
/// and options of the transport. Asynchronous inserts are always made synchronous, which promises more.
const IGNORED: [&str; 20] = [
    "user",
    "password",
    "quota_key",
    "role",
    "session_id",
    "session_timeout",
    "session_check",
    "close_session",
    "enable_http_compression",
    "http_zlib_compression_level",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "http_write_exception_in_output_format",
    "http_make_head_request",
    "client_protocol_version",
    "stacktrace",
    "async_insert",
    "wait_for_async_insert",
    "log_comment",
    "http_response_buffer_size",
];

/// What is asked for. The SQL may continue in the body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) sql: String,
    pub(super) database: String,
    pub(super) default_format: Option<String>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) query_id: Option<String>,
    pub(super) encoding: Encoding,
    /// `compress=1`: the answer in ClickHouse's blocks.
    pub(super) compress: bool,
    /// `wait_end_of_query=1`: errors on the way must become the status, so the whole result is made first.
    pub(super) whole_result: bool,
    /// GET, or `readonly` set: nothing may change.
    pub(super) readonly: bool,
}

impl Request {
    /// Reads URL parameters and headers. `get` is true for GET and HEAD.
    pub(super) fn read(query: &str, headers: &HeaderMap, get: bool) -> Result<Self, EmbeddedError> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut request = Self {
            database: header("x-clickhouse-database").unwrap_or_else(|| "default".to_owned()),
            default_format: header("x-clickhouse-format"),
            readonly: get,
            ..Self::default()
        };
        if let Some(encoding) = header(CONTENT_ENCODING.as_str()) {
            request.encoding.content = Content::from_header(&encoding)?;
        }
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            request.set(&name, value.into_owned())?;
        }
        Ok(request)
    }

    /// Takes one URL parameter or form field.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), EmbeddedError> {
        match name {
            "query" => self.sql.push_str(&value),
            "database" if value.is_empty() => {}
            "database" => self.database = value,
            "default_format" => self.default_format = Some(value),
            "query_id" => self.query_id = Some(value),
            "compress" => self.compress = is_on(&value),
            "decompress" => self.encoding.blocks = is_on(&value),
            "wait_end_of_query" => self.whole_result = is_on(&value),
            "buffer_size" => self.whole_result |= is_on(&value),
            "readonly" => self.readonly |= is_on(&value),
            name if IGNORED.contains(&name) => {}
            name => self.set_named(name, value)?,
        }
        Ok(())
    }

    fn set_named(&mut self, name: &str, value: String) -> Result<(), EmbeddedError> {
        if let Some(parameter) = name.strip_prefix("param_") {
            self.parameters.push((parameter.to_owned(), value));
            return Ok(());
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(EmbeddedError::request(115, format!("Unknown setting '{name}'")));
        }
        self.settings.insert(name.to_owned(), value);
        Ok(())
    }
}

fn is_on(value: &str) -> bool {
    !matches!(value, "" | "0" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_parameters_are_sorted_into_what_they_mean() {
        let url =
            "query=SELECT%201&database=rungs&param_a=x%09y&max_threads=2&user=u&decompress=1&compress=0";
        let request = Request::read(url, &HeaderMap::new(), false).unwrap();
        assert_eq!((request.sql.as_str(), request.database.as_str()), ("SELECT 1", "rungs"));
        assert_eq!(request.parameters, [("a".to_owned(), "x\ty".to_owned())]);
        assert_eq!(request.settings, BTreeMap::from([("max_threads".to_owned(), "2".to_owned())]));
        assert!(request.encoding.blocks && !request.compress && !request.readonly);
    }

    #[test]
    fn a_setting_whose_name_is_sql_is_refused() {
        let error = Request::read("max_threads%3D1%2Cx=2", &HeaderMap::new(), false).unwrap_err();
        assert_eq!(error.code(), 115);
    }
}
