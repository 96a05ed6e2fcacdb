//! Events in a query: the pixel, counted links, Snowplow's GET. A query is text: HTTP lets no other bytes through.

use collector::decoding::{Decoded, WireRequest};
use collector::refusal::Refusal;
use rungs_proto::v1::Event;

use crate::corpus::Corpus;
use crate::judge::judge;
use crate::wire::{decode, without_chance};

fn request<'a>(path: &'a str, query: &'a str) -> WireRequest<'a> {
    WireRequest { path, query, ..WireRequest::default() }
}

/// A query with base64 of JSON in it may be a list.
fn judge_count(decoded: &Result<Decoded, Refusal>, query: &str) {
    let has_data = url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "data");
    match decoded {
        Ok(decoded) => assert!(has_data || decoded.events.len() == 1, "{}", decoded.events.len()),
        Err(refusal) => assert!(has_data, "{refusal}"),
    }
}

pub(crate) fn pixel(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let decoded = decode(&request("/v1/pixel.gif", query));
    assert_eq!(without_chance(&decoded), without_chance(&decode(&request("/v1/pixel.gif", query))));
    judge(&decoded);
    judge_count(&decoded, query);
}

/// A link that names no visitor makes one.
pub(crate) fn click(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let [first, second] = [(); 2].map(|()| decode(&request("/v1/click", query)));
    assert_eq!(without_made_visitors(&first), without_made_visitors(&second));
    judge(&first);
    judge_count(&first, query);
}

/// A made visitor is 32 hex digits, and what is derived of the event is another id then.
fn without_made_visitors(decoded: &Result<Decoded, Refusal>) -> Result<Vec<Result<Event, String>>, String> {
    let blank = |mut event: Event| {
        if event.visitor_id.len() == 32 {
            (event.visitor_id, event.message_id) = (String::new(), String::new());
        }
        event
    };
    Ok(without_chance(decoded)?.into_iter().map(|event| event.map(blank)).collect())
}

pub(crate) fn snowplow(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let decoded = decode(&request("/i", query));
    assert_eq!(without_chance(&decoded), without_chance(&decode(&request("/i", query))));
    judge(&decoded);
    match decoded {
        Ok(decoded) => assert_eq!(decoded.events.len(), 1),
        Err(refusal) => panic!("a query is one event: {refusal}"),
    }
}

pub(crate) fn pixel_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    let queries = [
        "key=wk&event=email_open&userId=u%201&utm_source=news&utm_campaign=may&plan=pro&url=https%3A%2F%2Fa.b%2F",
        "key=wk&data=eyJldmVudCI6ImEiLCJ1c2VySWQiOiIxIn0%3D",
        "type=page&name=Home&anonymousId=v&messageId=m&timestamp=2026-01-01T00%3A00%3A00Z&properties=%7B%22a%22%3A1%7D",
        "event=a&anonymousId=v&properties=7&referrer=https://www.google.com/&utm_term=x",
    ];
    queries.iter().map(|query| query.as_bytes().to_vec()).collect()
}

pub(crate) fn click_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let links = [
        "key=wk&event=mail_clicked&anonymousId=ann&utm_medium=email&issue=7&to=https%3A%2F%2Fx.example",
        "event=a&to=/",
    ];
    let mut seeds: Vec<Vec<u8>> = links.iter().map(|query| query.as_bytes().to_vec()).collect();
    seeds.extend(pixel_seeds(corpus));
    seeds
}

pub(crate) fn snowplow_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let requests = corpus.requests(&["snowplow"]);
    requests
        .iter()
        .map(|request| request.query.clone().into_bytes())
        .filter(|query| !query.is_empty())
        .collect()
}
