//! Reads a request's query against the plan. Every complaint names the parameter; unknown parameters are refused, so
//! that a misspelt one is not taken for its default.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::web::Query;
use actix_web::{FromRequest, HttpRequest};
use funnel::plan::{Funnel, Window};
use serde::Deserialize;

use crate::api_error::ApiError;

/// The end of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

/// `{site}/{funnel}` of a path.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct FunnelPath {
    pub(crate) site: String,
    pub(crate) funnel: String,
}

/// A request's query parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Those of a request; a query that cannot be read has none.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map(|query| Self(query.into_inner()))
            .unwrap_or_default()
    }

    /// The first parameter of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Refuses parameters of other names and repeated ones; `token` is always allowed.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), ApiError> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if name != "token" && !names.contains(&name.as_str()) {
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(ApiError::bad_parameter(name, format!("is not known here; known are: {known}")));
            }
            if self.0.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(ApiError::bad_parameter(name, "is given twice"));
            }
        }
        Ok(())
    }

    /// A time in UTC milliseconds.
    pub(crate) fn ms(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(ms) if (0..=LAST_MS).contains(&ms) => Ok(Some(ms)),
            _ => Err(ApiError::bad_parameter(
                name,
                format!("must be a time in UTC milliseconds from 1970 to 9999, not {text:?}"),
            )),
        }
    }

    /// `true` or `false`, which is meant where it is left out.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            Some("true") => Ok(true),
            None | Some("false") => Ok(false),
            Some(other) => {
                Err(ApiError::bad_parameter(name, format!("must be true or false, not {other:?}")))
            }
        }
    }

    /// A time that must be there.
    pub(crate) fn required_ms(&self, name: &str) -> Result<i64, ApiError> {
        self.ms(name)?.ok_or_else(|| {
            ApiError::bad_parameter(name, "is missing; give a time in UTC milliseconds since 1970")
        })
    }

    /// One of the funnel's rolling windows, by its label; the longest where none is asked for.
    pub(crate) fn window(&self, funnel: &Funnel) -> Result<Window, ApiError> {
        let asked = self.get("window");
        let found = match asked {
            Some(asked) => funnel.rolling_windows.iter().find(|window| window.label == asked),
            None => default_window(funnel),
        };
        found.cloned().ok_or_else(|| ApiError::UnknownWindow {
            asked: asked.unwrap_or_default().to_owned(),
            windows: funnel.rolling_windows.iter().map(|window| window.label.clone()).collect(),
        })
    }

    /// One of the funnel's breakdowns, if one is asked for.
    pub(crate) fn breakdown(&self, funnel: &Funnel) -> Result<Option<String>, ApiError> {
        let Some(asked) = self.get("breakdown").filter(|asked| !asked.is_empty()) else { return Ok(None) };
        match funnel.breakdowns.iter().any(|breakdown| breakdown.by == asked) {
            true => Ok(Some(asked.to_owned())),
            false => Err(ApiError::UnknownBreakdown {
                asked: asked.to_owned(),
                breakdowns: funnel.breakdowns.iter().map(|breakdown| breakdown.by.clone()).collect(),
            }),
        }
    }
}

/// What is shown where nobody asks for a window: the longest, in which young visitors weigh least.
pub(crate) fn default_window(funnel: &Funnel) -> Option<&Window> {
    funnel.rolling_windows.iter().max_by_key(|window| window.ms)
}

impl FromRequest for Params {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}
