//! The scanner against `serde_json`, on valid, mutated and random texts.

use super::*;
use proptest::prelude::*;

fn scan(text: &str) -> (Scan<()>, Option<Flaw>) {
    let mut scanner = Scanner::new(text);
    let result = scanner.value().and_then(|_| scanner.end());
    (result, scanner.take_flaw())
}

fn agrees_with_serde(text: &str) {
    let (result, flaw) = scan(text);
    let clean = result.is_ok() && !matches!(flaw, Some(Flaw::LoneSurrogate | Flaw::NumberBeyondF64));
    let serde = serde_json::from_str::<serde_json::Value>(text);
    // A flaw that was noted first hides a later one.
    if flaw.is_none() || result.is_err() {
        assert_eq!(clean, serde.is_ok(), "{text:?}: {result:?} {flaw:?} {serde:?}");
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| format!("{x:e}")),
        any::<i64>().prop_map(|x| x.to_string()),
        "\\PC{0,20}|[\\x00-\\x7f]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("\"\\ud83d\\ude00\\/\"".to_owned()),
    ];
    leaf.prop_recursive(6, 64, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            proptest::collection::vec(("[a-z\"\\\\]{0,9}", inner), 0..5).prop_map(|fields| {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(key, value)| format!("{}\t: {value}", serde_json::json!(key)))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn valid_json_is_accepted_and_kept_verbatim(text in json()) {
        let mut scanner = Scanner::new(&text);
        let value = scanner.value().unwrap();
        if let Value::Object(kept) | Value::Array(kept) | Value::Number(kept) = value {
            prop_assert_eq!(kept, text.trim());
        }
        agrees_with_serde(&text);
    }

    #[test]
    fn mutated_json_is_judged_as_serde_judges_it(text in json(), at: prop::sample::Index, byte in "[\\x00-\\x7f]") {
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        chars[at] = byte.chars().next().unwrap();
        agrees_with_serde(&chars.iter().collect::<String>());
        chars.remove(at);
        agrees_with_serde(&chars.iter().collect::<String>());
    }

    #[test]
    fn random_punctuation_is_judged_as_serde_judges_it(text in "[\\[\\]{}:,\"\\\\u0d8ce.\\-1 ]{0,12}") {
        agrees_with_serde(&text);
    }

    #[test]
    fn strings_decode_as_serde_decodes_them(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
        let quoted = serde_json::to_string(&text).unwrap();
        let value = Scanner::new(&quoted).value().unwrap();
        let Value::Text(found) = value else { panic!("{value:?}") };
        prop_assert_eq!(found.decode(), text);
    }
}

#[test]
fn an_object_that_is_known_is_taken_as_if_it_were_scanned() {
    let known = "{\"a\":[1,\"}\"]}";
    for text in [known, "{\"a\":[1,\"}\"]} ,1", " {\"a\":[1]}", "{\"a\":[1,\"}\"]", "7", ""] {
        let (mut one, mut other) = (Scanner::new(text), Scanner::new(text));
        assert_eq!(one.value_or_known(known), other.value(), "{text}");
        assert_eq!(one.position(), other.position(), "{text}");
        assert_eq!(Scanner::new(text).value_or_known(""), Scanner::new(text).value());
    }
}

#[test]
fn flaws_are_noted_and_the_scan_goes_on() {
    let cases = [
        ("\"a\\u0000b\"", Flaw::Nul),
        ("\"\\ud800\"", Flaw::LoneSurrogate),
        ("\"\\ud800\\u0041\"", Flaw::LoneSurrogate),
        ("\"\\udc00\"", Flaw::LoneSurrogate),
        ("1e999", Flaw::NumberBeyondF64),
        ("-1e400", Flaw::NumberBeyondF64),
    ];
    for (text, flaw) in cases {
        assert_eq!(scan(text), (Ok(()), Some(flaw)), "{text}");
        assert_eq!(scan(&format!("{{\"a\":[{text}],\"b\":1}}")), (Ok(()), Some(flaw)), "{text}");
    }
    assert_eq!(scan("[1e-999, 1e308]"), (Ok(()), None));
    assert_eq!(scan(&"9".repeat(400)), (Ok(()), Some(Flaw::NumberBeyondF64)));
}

#[test]
fn nesting_is_allowed_up_to_the_limit() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(scan(&nested(MAX_NESTING)), (Ok(()), None));
    assert_eq!(scan(&nested(MAX_NESTING + 1)), (Ok(()), Some(Flaw::TooDeep)));
    assert_eq!(scan(&nested(1_000_000)), (Ok(()), Some(Flaw::TooDeep)));
    assert!(scan(&"[".repeat(1_000_000)).0.is_err());
}
