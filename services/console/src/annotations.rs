//! `/api/v1/annotations`: notes on a site's time line ("email sent"), drawn beside its numbers. Whoever may read the
//! numbers may read them; writing and removing asks for a secret key of the site or for the console's token, and on a
//! console without a token this machine's programs may write too.

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use funnel::Plan;
use runtime::now_ms;
use serde::{Deserialize, Serialize};
use serde_json::json;
use warehouse::annotations::Annotation;

use crate::api_error::ApiError;
use crate::params::Params;
use crate::routes::{State, known_site};
use crate::{access, secret};

/// Characters of a note, at most.
const MAX_TEXT: usize = 280;
/// Characters of an id, at most.
const MAX_ID: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    site: String,
    text: String,
    at: Option<i64>,
    id: Option<String>,
}

#[derive(Serialize)]
struct Note {
    id: String,
    at: i64,
    text: String,
}

/// `GET /api/v1/annotations?site=shop[&from=MS][&to=MS]`
pub(crate) async fn list(state: Data<State>, params: Params) -> Result<HttpResponse, ApiError> {
    params.only(&["site", "from", "to"])?;
    let plan = state.plan().ok_or(ApiError::NoPlan)?;
    let site = params.get("site").ok_or_else(|| ApiError::bad_parameter("site", "is missing"))?;
    known_site(&plan, site)?;
    let (from, to) = (params.ms("from")?.unwrap_or(0), params.ms("to")?.unwrap_or(i64::MAX));
    let notes = state.source.annotations(site, from, to).await?;
    let notes: Vec<Note> =
        notes.into_iter().map(|Annotation { id, at, text, .. }| Note { id, at, text }).collect();
    Ok(HttpResponse::Ok().json(json!({ "site": site, "annotations": notes })))
}

/// `POST /api/v1/annotations` with `{"site", "text", "at"?, "id"?}`
pub(crate) async fn write(
    state: Data<State>,
    params: Params,
    request: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    params.only(&[])?;
    let plan = state.plan().ok_or(ApiError::NoPlan)?;
    let wanted = read(&request, body)?;
    admit(&state, &plan, &wanted.site, &request)?;
    let note = note(wanted, now_ms())?;
    state.source.annotate(&note).await?;
    let Annotation { site, id, at, text } = note;
    Ok(HttpResponse::Ok().json(json!({ "site": site, "id": id, "at": at, "text": text })))
}

/// `DELETE /api/v1/annotations?site=shop&id=ID`
pub(crate) async fn remove(
    state: Data<State>,
    params: Params,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    params.only(&["site", "id"])?;
    let plan = state.plan().ok_or(ApiError::NoPlan)?;
    let required = |name| params.get(name).ok_or_else(|| ApiError::bad_parameter(name, "is missing"));
    let (site, id) = (required("site")?, required("id")?);
    admit(&state, &plan, site, &request)?;
    match state.source.remove_annotation(site, id).await? {
        true => Ok(HttpResponse::Ok().json(json!({ "site": site, "id": id }))),
        false => Err(ApiError::UnknownNote { site: site.to_owned(), id: id.to_owned() }),
    }
}

/// Lets in who may write notes of a site, if there is one of this name.
fn admit(state: &State, plan: &Plan, site: &str, request: &HttpRequest) -> Result<(), ApiError> {
    if !secret::opens(plan, site, request)? {
        access::admit_writer(state.token(), request).map_err(|refused| match refused {
            // Whoever showed a key, be it as a user name, is told about that one.
            ApiError::TokenNeeded | ApiError::LoopbackOnly if secret::shown(request.headers()).is_some() => {
                ApiError::WrongSecretKey
            }
            refused => refused,
        })?;
    }
    known_site(plan, site).map(drop)
}

/// JSON only: a page of another origin cannot send it without asking first, and is not answered.
fn read(request: &HttpRequest, body: Result<Bytes, actix_web::Error>) -> Result<Wanted, ApiError> {
    let refused = |problem: String| ApiError::bad_parameter("body", problem);
    if actix_web::HttpMessage::content_type(request) != "application/json" {
        return Err(refused("must be sent as application/json".to_owned()));
    }
    let body = body.map_err(|error| refused(format!("could not be read: {error}")))?;
    serde_json::from_slice(&body)
        .map_err(|error| refused(format!("must be {{\"site\", \"text\", \"at\", \"id\"}}: {error}")))
}

fn note(wanted: Wanted, now_ms: i64) -> Result<Annotation, ApiError> {
    let Wanted { site, text, at, id } = wanted;
    let text = text.trim();
    let id = id.unwrap_or_else(|| format!("{:016x}", rand::random::<u64>()));
    let is_plain = |text: &str, most: usize| {
        !text.is_empty() && text.chars().count() <= most && !text.contains(char::is_control)
    };
    if !is_plain(text, MAX_TEXT) {
        return Err(ApiError::bad_parameter(
            "text",
            format!("must have 1 to {MAX_TEXT} characters, on one line"),
        ));
    }
    if !is_plain(&id, MAX_ID) {
        return Err(ApiError::bad_parameter(
            "id",
            format!("must have 1 to {MAX_ID} characters, on one line"),
        ));
    }
    // What ClickHouse's times can hold.
    let at = at.unwrap_or(now_ms);
    if !(0..=4_102_444_800_000).contains(&at) {
        return Err(ApiError::bad_parameter("at", "must be a time in UTC milliseconds since 1970"));
    }
    Ok(Annotation { site, id, at, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_short_line_with_a_time() {
        let wanted = |text: &str, at| Wanted { site: "shop".into(), text: text.into(), at, id: None };
        let written = note(wanted(" email sent ", None), 7).unwrap();
        assert_eq!((written.text.as_str(), written.at, written.id.len()), ("email sent", 7, 16));
        assert_ne!(note(wanted("a", None), 7).unwrap().id, written.id);
        for (text, at) in
            [("", None), ("a\nb", None), (&"x".repeat(281), None), ("a", Some(-1)), ("a", Some(i64::MAX))]
        {
            assert_eq!(
                note(wanted(text, at), 7).err().map(|error| error.code()),
                Some("bad_parameter"),
                "{text:?}"
            );
        }
    }
}
