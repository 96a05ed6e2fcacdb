//! `GET /v1/click?key=…&to=…&event=…&anonymousId=…`: the query of a link as an event and a destination, for emails, QR codes
//! and partners' pages. Parameters are the pixel's; `to` is where the visitor goes.
//!
//! The visitor is named in the destination's query, so that the tag of the page there goes on with the same one.

use url::Url;

use super::pixel::{self, json};
use crate::fields::{Fields, text_or_number};

/// The parameter of the destination that carries the visitor's id; the tag takes it from there.
const VISITOR_PARAMETER: &str = "rungs_id";

/// A link that was followed.
#[derive(Debug)]
pub(crate) struct Click {
    /// The event as JSON, for the JSON adapter.
    pub(crate) event: Vec<u8>,
    /// The visitor that the event names.
    pub(crate) visitor: Option<String>,
}

/// The destination that a link asks for.
pub(crate) fn destination(query: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "to").map(|(_, to)| to.into_owned())
}

/// Reads a link whose destination is allowed. A link that names no visitor makes one, if `makes_visitors`; the destination
/// is stored without its query and fragment.
pub(crate) fn parse(query: &str, destination: &Url, makes_visitors: bool) -> Click {
    let event = pixel::parse(query);
    let Ok(mut fields) = serde_json::from_slice::<Fields>(&event) else {
        // An unreadable `data` is rejected by the JSON adapter.
        return Click { event, visitor: makes_visitors.then(random_visitor) };
    };
    let visitor = visitor(&fields).or_else(|| {
        let made = makes_visitors.then(random_visitor)?;
        fields.insert("anonymousId".into(), json(&made));
        Some(made)
    });
    let properties =
        fields.get("properties").and_then(|value| serde_json::from_str::<Fields>(value.get()).ok());
    if let Some(mut properties) = properties {
        let mut to = destination.clone();
        to.set_query(None);
        to.set_fragment(None);
        properties.insert("to".into(), json(to.as_str()));
        fields.insert("properties".into(), json(&properties));
    }
    Click { event: serde_json::to_vec(&fields).unwrap_or(event), visitor }
}

/// A text, or a number by its own digits, as the event keeps it.
fn visitor(event: &Fields) -> Option<String> {
    let named = |name: &str| text_or_number(event.get(name)?.get()).filter(|text| !text.is_empty());
    ["anonymousId", "userId"].into_iter().find_map(named)
}

fn random_visitor() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The destination with the visitor in its query; a visitor that is there already is replaced, the rest stays as it is.
pub(crate) fn with_visitor(mut destination: Url, visitor: &str) -> Url {
    let is_other = |part: &&str| !part.is_empty() && part.split('=').next() != Some(VISITOR_PARAMETER);
    let kept: Vec<&str> = destination.query().unwrap_or_default().split('&').filter(is_other).collect();
    let query = url::form_urlencoded::Serializer::new(kept.join("&"))
        .append_pair(VISITOR_PARAMETER, visitor)
        .finish();
    destination.set_query(Some(&query));
    destination
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SHOP: &str = "https://shop.example/may?utm_source=news&token=1#top";

    fn click(query: &str) -> (Value, String) {
        let click = parse(query, &Url::parse(SHOP).unwrap(), true);
        (serde_json::from_slice(&click.event).unwrap(), click.visitor.unwrap())
    }

    #[test]
    fn a_link_becomes_an_event_with_its_destination() {
        let query =
            "key=wk&event=mail_clicked&anonymousId=ann&utm_medium=email&issue=7&to=https%3A%2F%2Fx.example";
        let (event, visitor) = click(query);
        let expected = json!({
            "event": "mail_clicked", "anonymousId": "ann",
            "properties": {"issue": "7", "to": "https://shop.example/may"},
            "context": {"page": {}, "campaign": {"medium": "email"}},
        });
        assert_eq!((event, visitor.as_str()), (expected, "ann"));
        assert_eq!(destination(query).as_deref(), Some("https://x.example"));
        assert_eq!(destination("to=a&to=b").as_deref(), Some("a"));
        assert_eq!(destination("tot=a"), None);
    }

    #[test]
    fn a_link_that_names_no_visitor_makes_one() {
        let (event, visitor) = click("event=a&anonymousId=");
        assert_eq!(visitor.len(), 32);
        assert_eq!(event["anonymousId"], visitor.as_str());
        assert_ne!(click("event=a").1, visitor);
        assert_eq!(click("event=a&userId=u1").1, "u1");
        assert_eq!(click("event=a&userId=u1&anonymousId=v").1, "v");
    }

    #[test]
    fn numbers_keep_their_own_digits() {
        let data = r#"{"event":"a","anonymousId":1234567890.1700000001,"properties":{"order":18446744073709551617}}"#;
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, data);
        let click = parse(&format!("data={encoded}"), &Url::parse(SHOP).unwrap(), true);
        assert_eq!(click.visitor.as_deref(), Some("1234567890.1700000001"));
        let event = String::from_utf8(click.event).unwrap();
        assert!(event.contains(r#""anonymousId":1234567890.1700000001"#), "{event}");
        assert!(event.contains(r#""order":18446744073709551617"#), "{event}");
    }

    #[test]
    fn the_visitor_is_added_to_the_destination_and_nothing_else_changes() {
        for (before, after) in [
            ("https://a.b", "https://a.b/?rungs_id=v+1%26"),
            ("https://a.b/?x", "https://a.b/?x&rungs_id=v+1%26"),
            ("https://a.b/c?x=%2f+%20#d", "https://a.b/c?x=%2f+%20&rungs_id=v+1%26#d"),
            ("https://a.b/?rungs_id=other&x=1&rungs_id", "https://a.b/?x=1&rungs_id=v+1%26"),
        ] {
            let destination = Url::parse(before).unwrap();
            assert_eq!(with_visitor(destination, "v 1&").as_str(), after);
        }
    }
}
