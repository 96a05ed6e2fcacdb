//! What is masked, what is not, and what holds for any text.

use proptest::prelude::*;

use super::{card, suspicion};

mod cost;

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
        ("“ann@shop.example”—and “b@shop.example”", "[masked:email]”—and [masked:email]”"),
        ("ann@shop.example.5", "[masked:email].5"),
        ("ann@163.com, b@xn--80ak6aa92e.xn--p1ai", "[masked:email], [masked:email]"),
    ] {
        assert_eq!(text(before), after);
    }
    for kept in [
        "https://social.example/@ann",
        "logo@2x.png",
        "lodash@4.17.21",
        "pkg@1.0.0-alpha.beta",
        "icon@2x.min.css",
        "logo@2x.abc123.png",
        "styles@main.css",
        "git@github.com:rungs/rungs.git",
        "a@b.c",
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
fn numbers_of_cards_in_groups_are_masked() {
    for (before, after) in [
        ("card 4242 4242 4242 4242, cvc 123", "card [masked:card], cvc 123"),
        ("3782-822463-10005", "[masked:card]"),
        ("3056 930902 5904", "[masked:card]"),
        ("4000 0000 0000 0000 006", "[masked:card]"),
        ("12 4111 1111 1111 1111 99", "12 [masked:card] 99"),
        ("?number=6011+1111 1111-1117&n=1", "?number=[masked:card]&n=1"),
        ("?q=a%3D4111-1111-1111-1111", "?q=a%3D[masked:card]"),
        ("?number=4111%201111%201111%201111&n=1", "?number=[masked:card]&n=1"),
        ("?number=3782%20822463%2010005", "?number=[masked:card]"),
        ("%204111%201111%201111%201111%20", "%20[masked:card]%20"),
        ("4111+1111+1111+1111", "[masked:card]"),
        ("4111 1111 1111 1111.0", "[masked:card].0"),
    ] {
        assert_eq!(text(before), after);
    }
    for kept in [
        "4111111111111111",
        "4111 1111 1111 1112",
        "41111111 11111111",
        "4111 111111 111111",
        "order4111 1111 1111 1111",
        "0.4111 1111 1111 1111",
        "4111 1111 1111 1111.5",
        "4111 1111 1111 1111.05",
        "4111%201111%201111%201112",
        "4111%3D1111%3D1111%3D1111",
        "550e8400-e29b-41d4-a716-446655440000",
        "+49 30 123456 789",
        "2026-05-08T10:00:00",
    ] {
        assert_eq!(text(kept), kept);
    }
}

#[test]
fn a_number_written_together_is_masked_where_its_name_says_that_it_is_a_cards() {
    for key in [
        "card",
        "card_number",
        "creditCard",
        "Card-No",
        "pan",
        "customerPan",
        "cc",
        "cc_num",
        "ccnum",
        "CCNumber",
    ] {
        for value in [
            "4111111111111111",
            "4111111111111111.0",
            "4111111111111111.000",
            "4.111111111111111e15",
            "3.78282246310005E+14",
            "\"4111111111111111\"",
            "\"378282246310005\"",
        ] {
            assert_eq!(
                json(&format!(r#"{{"{key}":{value}}}"#), &[]),
                format!(r#"{{"{key}":"[masked:card]"}}"#)
            );
        }
    }
    assert_eq!(
        json(r#"{"card":{"number":4111111111111111,"id":4111111111111111},"number":4111111111111111}"#, &[]),
        r#"{"card":{"number":"[masked:card]","id":4111111111111111},"number":4111111111111111}"#
    );
    assert_eq!(
        json(r#"{"pan":[4111111111111111,"5555555555554444 378282246310005"]}"#, &[]),
        r#"{"pan":["[masked:card]","[masked:card] [masked:card]"]}"#
    );
    for kept in [
        r#"{"account_id":4111111111111111,"acc_num":4111111111111111}"#,
        r#"{"company":4111111111111111,"success":"4111111111111111"}"#,
        r#"{"card":4222222222222}"#,
        r#"{"card":30569309025904}"#,
        r#"{"card":4111111111111112}"#,
        r#"{"card":4111111111111111.5}"#,
        r#"{"card":4111111111111111.01}"#,
        r#"{"card":4.111111111111112e15}"#,
        r#"{"card":-4111111111111111.0}"#,
        r#"{"order_id":4111111111111111.0}"#,
        r#"{"order_id":4.111111111111111e15}"#,
        r#"{"card":1e400}"#,
        r#"{"card":"order4111111111111111"}"#,
    ] {
        assert_eq!(json(kept, &[]), kept);
    }
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
        "sk_checkout_variant_2_of_2026_x",
        "sk-2026-summer-sale-for-members",
        "sk_live_a_name_of_small_letters",
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
        "4111 1111 1111 1111",
        "4111-1111",
        "1111",
        "378282246310005",
        "3782 822463 10005",
        "eyJhbGciOi",
        "Bearer ",
        "sk_live_",
        "abcdefghij0123456789",
        "ü",
        "[masked:email]",
        "%3D",
        "%20",
        ".0",
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
    fn a_card_is_masked_wherever_it_stands(
        middle in prop::collection::vec(0_u32..10, 14), before in "[a-z ]{0,9}[ =]", after in "[ ,&][a-z]{0,9}",
    ) {
        let mut digits: Vec<u32> = [4].into_iter().chain(middle).collect();
        let check = (0..10).find(|check| naive_luhn(&[&digits[..], &[*check]].concat())).unwrap();
        digits.push(check);
        let written: String = digits.iter().map(u32::to_string).collect();
        let groups: Vec<&str> =
            written.as_bytes().chunks(4).map(|part| std::str::from_utf8(part).unwrap()).collect();
        for separator in [" ", "-", "+", "%20"] {
            let whole = format!("{before}{}{after}", groups.join(separator));
            prop_assert!(suspicion::is_raised_by(&whole), "{}", whole);
            prop_assert_eq!(text(&whole), format!("{before}[masked:card]{after}"));
        }
        let whole = format!(r#"{{"card":"{before}{written}{after}"}}"#);
        prop_assert_eq!(json(&whole, &[]), format!(r#"{{"card":"{before}[masked:card]{after}"}}"#));
    }

    #[test]
    fn ids_and_times_and_article_numbers_are_never_masked(
        id in prop_oneof![
            "[1-9][0-9]{12,18}",
            // Those that a check digit makes likely: a Visa's, and a Maestro's, whose numbers may be of any length.
            "(4|62|6304)[0-9]{11,15}",
            // YYMMDDhhmmss and four digits of an order.
            "2[0-9](0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])(0[0-9]|1[0-9])[0-5][0-9][0-5][0-9][0-9]{4}",
            // Milliseconds since 1970.
            "1[5-9][0-9]{11}",
        ],
        key in prop::sample::select(vec![
            "order_id", "orderId", "sku", "ean", "gtin", "ts", "id", "account_id", "product", "company", "number",
        ]),
    ) {
        let digits: Vec<u32> = id.chars().filter_map(|digit| digit.to_digit(10)).collect();
        let check = (0..10).find(|check| naive_luhn(&[&digits[..digits.len() - 1], &[*check]].concat())).unwrap();
        let checked = format!("{}{check}", &id[..id.len() - 1]);
        for id in [id, checked] {
            let event = format!(r#"{{"{key}":{id},"items":[{{"{key}":"{id}"}}],"url":"https://a.example/{id}?n={id}"}}"#);
            prop_assert_eq!(super::json(&event, &[]), None);
            prop_assert_eq!(super::text(&id), None);
        }
    }

    #[test]
    fn the_quick_look_misses_nothing(written in texts()) {
        if !suspicion::is_raised_by(&written) {
            for find in [super::email::find, super::token::find] {
                prop_assert!(find(&written).is_empty());
            }
            prop_assert!(card::find(&written, true).is_empty());
        }
    }
}
