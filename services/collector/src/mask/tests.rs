//! What is masked, what is not, and what holds for any text.

use proptest::prelude::*;

use super::{card, suspicion};

const JWT: &str =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

fn text(text: &str) -> String {
    super::text(text).unwrap_or_else(|| text.to_owned())
}

fn json(json: &str, allowed: &[&str]) -> String {
    let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
    super::json(json, &allowed).unwrap_or_else(|| json.to_owned())
}

#[test]
fn mail_addresses_are_masked_wherever_they_stand() {
    for (before, after) in [
        ("ann@shop.example", "[masked:email]"),
        ("write to Ann.B+news@mail.shop.example.", "write to [masked:email]."),
        ("https://a.example/x?email=ann@shop.example&y=1", "https://a.example/x?email=[masked:email]&y=1"),
        ("?email=ann%40shop.example&y=1", "?email=[masked:email]&y=1"),
        ("jörg@köln.example, <b@c.de>", "[masked:email], <[masked:email]>"),
        ("mailto:a@b.de?subject=x", "mailto:[masked:email]?subject=x"),
        ("a@b.de@c.de", "[masked:email]@c.de"),
    ] {
        assert_eq!(text(before), after);
    }
    for kept in [
        "https://social.example/@ann",
        "logo@2x.png",
        "lodash@4.17.21",
        "@segment/analytics-node",
        "ann@localhost",
        "a @ b.de",
        "12 @ 3.50",
        "@",
        "%40",
        "a@",
        "a@b",
        "a@.de",
        "a@b..de",
    ] {
        assert_eq!(text(kept), kept);
    }
}

#[test]
fn numbers_of_cards_are_masked() {
    for (before, after) in [
        ("4111111111111111", "[masked:card]"),
        ("card 4242 4242 4242 4242, cvc 123", "card [masked:card], cvc 123"),
        ("3782-822463-10005", "[masked:card]"),
        ("5555555555554444 378282246310005", "[masked:card] [masked:card]"),
        ("12 4111 1111 1111 1111 99", "12 [masked:card] 99"),
        ("?number=6011111111111117&n=1", "?number=[masked:card]&n=1"),
        ("?q=a%3D4111111111111111", "?q=a%3D[masked:card]"),
        ("4222222222222", "[masked:card]"),
    ] {
        assert_eq!(text(before), after);
    }
    for kept in [
        "4111111111111112",
        "1700000000000",
        "order41111111111111110",
        "0.4111111111111111",
        "41111111111111110000000",
        "a4111111111111111",
        "550e8400-e29b-41d4-a716-446655440000",
        "4111111111111111.5",
        "+49 30 123456 789",
        "2026-05-08T10:00:00",
    ] {
        assert_eq!(text(kept), kept);
    }
    assert_eq!(
        json(r#"{"n":4111111111111111,"t":1700000000000,"f":4111111111111111.5}"#, &[]),
        r#"{"n":"[masked:card]","t":1700000000000,"f":4111111111111111.5}"#
    );
}

#[test]
fn tokens_are_masked() {
    let stripe = "sk_live_51H8abcdefghijklmnop";
    for (before, after) in [
        (JWT.to_owned(), "[masked:token]"),
        (format!("https://a.example/?token={JWT}&x=1"), "https://a.example/?token=[masked:token]&x=1"),
        (format!("Authorization: Bearer {JWT}"), "Authorization: Bearer [masked:token]"),
        ("Bearer abcdefghijklmnop1234".to_owned(), "Bearer [masked:token]"),
        (format!("key={stripe}."), "key=[masked:token]"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a".to_owned(), "[masked:token]"),
        ("AKIAIOSFODNN7EXAMPLE".to_owned(), "[masked:token]"),
        ("a%3Dsk-proj-abcdefghijklmnop0123456789".to_owned(), "a%3D[masked:token]"),
    ] {
        assert_eq!(text(&before), after);
    }
    for kept in [
        "task_1234567890123456x",
        "sk_short1",
        "risk-averse-investors-of-the-2020s",
        "eyJ",
        "eyJhbGciOiJIUzI1NiJ9",
        "the bearer of this letter",
        "sk_a_name_without_any_numbers",
        "Bearer token",
        "pk_live_51H8abcdefghijklmnop",
    ] {
        assert_eq!(text(kept), kept);
    }
}

#[test]
fn what_the_plan_allows_and_what_is_not_masked_stays_byte_for_byte() {
    let event = r#"{ "email" : "a@b.de", "mails":["a@b.de", {"x":"\u0061\u0040b.de"}], "a@b.de":1, "to":{"email":"c@d.de","deep":{"email":"e@f.de"}}, "é":"\u00e9 \/" }"#;
    assert_eq!(
        json(event, &["email", "to.deep"]),
        r#"{ "email" : "a@b.de", "mails":["[masked:email]", {"x":"[masked:email]"}], "a@b.de":1, "to":{"email":"[masked:email]","deep":{"email":"e@f.de"}}, "é":"\u00e9 \/" }"#
    );
    assert_eq!(json(event, &["email", "mails", "to"]), event);
    assert_eq!(
        json(r#"{"emails":"a@b.de","email":"\"a@b.de\n"}"#, &["email"]),
        r#"{"emails":"[masked:email]","email":"\"a@b.de\n"}"#
    );
    assert_eq!(json(r#"{"a":"\"a@b.de\n"}"#, &[]), r#"{"a":"\"[masked:email]\u000a"}"#);
    assert_eq!(json(" \n{\"a\": \"a@b.de\"} ", &[]), " \n{\"a\": \"[masked:email]\"} ");
    assert_eq!(super::json(r#"{"plan":"pro","price":19.99,"items":[1,2,3]}"#, &[]), None);
}

/// The rule of the check digit, digit by digit on paper.
fn naive_luhn(digits: &[u32]) -> bool {
    let mut sum = 0;
    for (index, digit) in digits.iter().rev().enumerate() {
        let mut value = *digit;
        if index % 2 == 1 {
            value *= 2;
            if value > 9 {
                value -= 9;
            }
        }
        sum += value;
    }
    sum % 10 == 0
}

/// Texts in which what is looked for is likely.
fn texts() -> impl Strategy<Value = String> {
    let pieces = vec![
        "@",
        "%40",
        ".",
        "de",
        "ann",
        "-",
        " ",
        "4111111111111111",
        "4111 1111",
        "1111",
        "37828224631",
        "0005",
        "eyJhbGciOi",
        "Bearer ",
        "sk_",
        "abcdefghij0123456789",
        "ü",
        "[masked:email]",
        "%3D",
        "=",
        "\\",
        "\"",
        "\n",
        "+",
    ];
    let piece = prop_oneof![4 => prop::sample::select(pieces).prop_map(str::to_owned), 1 => "\\PC{0,3}"];
    prop_oneof![prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat()), any::<String>()]
}

proptest! {
    #[test]
    fn masking_what_is_masked_changes_nothing(written in texts()) {
        let once = text(&written);
        prop_assert_eq!(text(&once), once);
    }

    #[test]
    fn json_stays_json_and_its_texts_are_those_that_are_masked(first in texts(), second in texts(), key in "[a-c]{1,2}") {
        let event = serde_json::json!({ "x": first, key.clone(): [{ "y": second }, 7] });
        let masked: serde_json::Value = serde_json::from_str(&json(&event.to_string(), &[])).unwrap();
        prop_assert_eq!(&masked["x"], &text(&first));
        prop_assert_eq!(&masked[&key][0]["y"], &text(&second));
        prop_assert_eq!(json(&event.to_string(), &["x", &key]), event.to_string());
    }

    #[test]
    fn the_check_digit_is_that_of_the_rule(digits in prop::collection::vec(0_u32..10, 0..24)) {
        let written: String = digits.iter().map(u32::to_string).collect();
        prop_assert_eq!(card::luhn(&written), naive_luhn(&digits));
    }

    #[test]
    fn a_card_is_masked_however_it_is_grouped_and_wherever_it_stands(
        middle in prop::collection::vec(0_u32..10, 14), group in 3_usize..=16, before in "[a-z ]{0,9}[ =]", after in "[ ,&][a-z]{0,9}",
    ) {
        let mut digits: Vec<u32> = [4].into_iter().chain(middle).collect();
        let check = (0..10).find(|check| naive_luhn(&[&digits[..], &[*check]].concat())).unwrap();
        digits.push(check);
        let written: String = digits.iter().map(u32::to_string).collect();
        // The last group must not be shorter than three.
        let groups: Vec<&str> = match 16 % group {
            1 | 2 => vec![&written],
            _ if group > 7 => vec![&written],
            _ => written.as_bytes().chunks(group).map(|part| std::str::from_utf8(part).unwrap()).collect(),
        };
        for separator in [" ", "-"] {
            let whole = format!("{before}{}{after}", groups.join(separator));
            prop_assert!(suspicion::is_raised_by(&whole), "{}", whole);
            prop_assert_eq!(text(&whole), format!("{before}[masked:card]{after}"));
        }
    }

    #[test]
    fn the_quick_look_misses_nothing(written in texts()) {
        if !suspicion::is_raised_by(&written) {
            for find in [card::find, super::email::find, super::token::find] {
                prop_assert!(find(&written).is_empty());
            }
        }
    }
}
