//! What a plan may say, and what is said about the rest.

use proptest::prelude::*;

use super::*;
use crate::plan::{Commitment, Condition, Filter, Origins, Window};

const SITE: &str = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n";

fn funnel(more: &str) -> String {
    format!(
        "{SITE}[[funnels]]\nsite = \"shop\"\nid = \"f\"\nconversion_window = \"7d\"\nrolling_windows = [\"24h\"]\n\
         [[funnels.steps]]\nid = \"a\"\nevent = \"a\"\n[[funnels.steps]]\nid = \"b\"\n{more}\n"
    )
}

fn problems(text: &str) -> Vec<String> {
    Plan::parse("plan.toml", text).unwrap_err().iter().map(Problem::to_string).collect()
}

/// The only problem of a plan.
fn problem(text: &str) -> String {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn a_plan_with_everything_is_read() {
    let text = r#"
[[sites]]
id = "shop"
timezone = "europe/berlin"
write_keys = ["wk_shop_demo", "wk_2"]
secret_keys_sha256 = ["9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"]
origins = ["https://Shop.example:443", "http://localhost:3000"]
[[funnels]]
site = "shop"
id = "purchase"
name = "From looking to buying"
conversion_window = "7d"
rolling_windows = ["90m", "24h"]
breakdowns = ["channel", { by = "plan", values = ["free", "pro"] }]
[[funnels.steps]]
id = "view"
name = "Viewed"
event = ["product_view", "quick_view"]
where = { property = "plan", in = ["pro", 2, 1.50, true] }
offer = "product_card_seen"
commitment = "click"
[[funnels.steps]]
id = "buy"
event = "purchase"
where = { property = "basket.value", min = 1, max = 99.5 }
"#;
    let plan = Plan::parse("plan.toml", text).unwrap();
    let site = plan.site("shop").unwrap();
    assert_eq!((site.timezone.as_str(), site.write_keys.len()), ("Europe/Berlin", 2));
    assert_eq!(site.secret_keys_sha256[0][..2], [0x9f, 0x86]);
    assert_eq!(
        site.origins,
        Origins::Only(vec!["https://shop.example".into(), "http://localhost:3000".into()])
    );
    let funnel = plan.funnel("shop", "purchase").unwrap();
    assert_eq!(funnel.name, "From looking to buying");
    assert_eq!(funnel.rolling_windows[0], Window { label: "90m".into(), ms: 5_400_000 });
    assert_eq!(funnel.breakdowns[1].values, ["free", "pro"]);
    assert_eq!(funnel.steps[0].events, ["product_view", "quick_view"]);
    assert_eq!(funnel.steps[0].commitment, Commitment::Click);
    let listed = Condition::In(["pro", "2", "1.5", "true"].map(String::from).to_vec());
    assert_eq!(funnel.steps[0].filter, Some(Filter { property: "plan".into(), condition: listed }));
    let range = Condition::Range { min: Some(1.0), max: Some(99.5) };
    assert_eq!(funnel.steps[1].filter.as_ref().map(|filter| &filter.condition), Some(&range));
    assert_eq!((funnel.steps[1].name.as_str(), funnel.steps[1].commitment), ("buy", Commitment::Other));
}

#[test]
fn an_empty_plan_is_answered_with_one_that_works() {
    let error = Plan::parse("plan.toml", "").unwrap_err().remove(0);
    assert_eq!(error.message, "the plan has no sites");
    assert!(problem("sites = []").contains("the plan has no sites"));
    let example = error.hint.split_once("\n\n").unwrap().1;
    assert_eq!(Plan::parse("example.toml", example).unwrap().funnels.len(), 1);
}

#[test]
fn ten_mistakes_are_ten_problems_each_with_its_line() {
    let text = r#"[[sites]]
id = "shop"
timezone = "Europe/Berln"
write_keys = ["wk"]
origins = ["shop.example"]
[[funnels]]
site = "shoop"
id = "purchase"
conversion_windw = "7d"
rolling_windows = ["24h", "1 week", "24h"]
[[funnels.steps]]
id = "view"
event = 5
commitment = "clik"
[[funnels.steps]]
id = "view"
where = { property = "plan", in = ["pro"], exists = true }
"#;
    let found = problems(text);
    let lines: Vec<_> = found.iter().filter_map(|text| text.split(':').nth(1)?.parse::<u32>().ok()).collect();
    assert_eq!(lines, [3, 5, 6, 7, 9, 10, 10, 13, 14, 15, 16, 17], "{found:#?}");
    assert_eq!(
        found[0],
        "plan.toml:3: there is no time zone \"Europe/Berln\" (hint: did you mean \"Europe/Berlin\"?)"
    );
    assert_eq!(
        found[1],
        "plan.toml:5: \"shop.example\" is not an origin (hint: begin with the scheme: \"https://shop.example\")"
    );
    assert!(found[4].contains("did you mean `conversion_window`?"), "{found:#?}");
    assert!(found[8].contains("did you mean \"click\"?"), "{found:#?}");
    assert!(found[9].contains("step \"view\" has no event"), "{found:#?}");
}

#[test]
fn windows_are_whole_minutes_with_a_unit() {
    for wrong in ["7", "7w", "0d", "-1h", "30s", "90s", "1.5h", "1h30m", "93d", "1 h", "60000ms", ""] {
        let text = funnel("event = \"b\"").replace("\"24h\"", &format!("\"{wrong}\""));
        assert!(problem(&text).contains("plan.toml:8: rolling window"), "{wrong}");
    }
    for right in ["1m", "90m", "120s", "92d"] {
        let text = funnel("event = \"b\"").replace("\"24h\"", &format!("\"{right}\""));
        assert_eq!(Plan::parse("plan.toml", &text).unwrap().funnels[0].rolling_windows[0].label, right);
    }
}

#[test]
fn write_keys_are_unique_over_all_sites() {
    let text = format!("{SITE}[[sites]]\nid = \"blog\"\nwrite_keys = [\"wk\"]\n");
    assert_eq!(
        problem(&text),
        "plan.toml:6: write key \"wk\" is used twice (hint: line 3 has it too; choose another)"
    );
}

#[test]
fn a_funnel_id_is_unique_within_its_site_only() {
    let other = funnel("event = \"b\"").replace("\"shop\"", "\"blog\"").replace("\"wk\"", "\"wk2\"");
    let text = format!("{}{other}", funnel("event = \"b\""));
    assert_eq!(Plan::parse("plan.toml", &text).unwrap().funnels.len(), 2);
    let twice = format!("{}{}", funnel("event = \"b\""), funnel("event = \"b\"").replace(SITE, ""));
    assert!(problem(&twice).contains("funnel id \"f\" is used twice"));
}

#[test]
fn a_secret_in_plain_text_is_refused_and_not_repeated() {
    let text = format!("{SITE}secret_keys_sha256 = [\"sk_live_abc\"]\n");
    let problem = problem(&text);
    assert!(problem.contains("looks like a key itself") && !problem.contains("sk_live"), "{problem}");
}

#[test]
fn origins_are_what_browsers_send() {
    let cases = [
        ("https://shop.example/", "without a path"),
        ("https://shop.example/cart", "write \"https://shop.example\""),
        ("https://*.shop.example", "name each origin"),
        ("https://shop.example:0", "scheme://host"),
        ("https://", "scheme://host"),
        ("shop.example", "begin with the scheme"),
    ];
    for (origin, hint) in cases {
        assert!(problem(&format!("{SITE}origins = [\"{origin}\"]\n")).contains(hint), "{origin}");
    }
    assert!(problem(&format!("{SITE}origins = [\"*\", \"https://a.b\"]\n")).contains("stands beside others"));
    let any = Plan::parse("plan.toml", &format!("{SITE}origins = [\"*\"]\n")).unwrap();
    assert_eq!(any.sites[0].origins, Origins::Any);
    for good in ["https://[::1]:8443", "capacitor://localhost", "http://127.0.0.1:3000"] {
        assert!(Plan::parse("plan.toml", &format!("{SITE}origins = [\"{good}\"]\n")).is_ok(), "{good}");
    }
}

#[test]
fn a_filter_has_exactly_one_good_condition() {
    let cases = [
        ("{ property = \"x\" }", "has no condition"),
        ("{ property = \"x\", in = [\"a\"], min = 1 }", "several conditions: in, min"),
        ("{ property = \"x\", in = [] }", "must be a list of texts"),
        ("{ property = \"x\", min = 2, max = 1 }", "min 2 of"),
        ("{ property = \"x\", min = nan }", "not a number to compare with"),
        ("{ property = \"x\", matches = \"(\" }", "is not a regular expression: unclosed group"),
        ("{ property = \"x\", matches = \"\\\\w{5000}\" }", "more than 1048576 bytes"),
        ("{ property = \"x\", exist = true, min = 1 }", "unknown key `exist`"),
        ("{ exists = true }", "has no property"),
        ("{ property = \"properties.x\", exists = true }", "write \"x\""),
    ];
    for (filter, expected) in cases {
        let problem = problem(&funnel(&format!("event = \"b\"\nwhere = {filter}")));
        assert!(problem.contains(expected), "{filter}: {problem}");
    }
}

#[test]
fn limits_are_named_when_they_are_passed() {
    let step = |n: usize| format!("[[funnels.steps]]\nid = \"s{n}\"\nevent = \"e\"\n");
    let many: String = (0..15).map(step).collect();
    assert!(
        problem(&funnel(&format!("event = \"b\"\n{many}")))
            .contains("has 17 steps (hint: at most 16 (MAX_STEPS))")
    );
    let one = funnel("").replace("[[funnels.steps]]\nid = \"b\"\n", "");
    assert!(problem(&one).contains("MIN_STEPS"));
    let long = format!("event = \"{}\"", "x".repeat(257));
    assert!(problem(&funnel(&long)).contains("MAX_NAME_BYTES"));
    let sites: String =
        (0..201).map(|n| format!("[[sites]]\nid = \"s{n}\"\nwrite_keys = [\"k{n}\"]\n")).collect();
    assert!(problem(&sites).contains("the plan has 201 sites (hint: at most 200 (MAX_SITES))"));
}

#[test]
fn ids_are_plain_and_names_are_free() {
    let text = funnel("event = \"b\"").replace("id = \"f\"", "id = \"Mein Trichter\"");
    assert!(problem(&text).contains("\"mein_trichter\""));
    let named = funnel("event = \"b\"\nname = \"Gekauft für 1 €\"");
    assert_eq!(Plan::parse("plan.toml", &named).unwrap().funnels[0].steps[1].name, "Gekauft für 1 €");
}

#[test]
fn a_site_that_nobody_can_send_to_is_refused() {
    assert!(problem("[[sites]]\nid = \"shop\"\n").contains("has no key"));
}

proptest! {
    #[test]
    fn any_text_is_a_plan_or_has_problems(text in ".*") {
        prop_assert!(Plan::parse("plan.toml", &text).is_err_and(|problems| !problems.is_empty()));
    }

    #[test]
    fn a_damaged_plan_never_panics(at in 0usize..400, length in 0usize..40, with in "[ -~\n]{0,8}") {
        let mut text = funnel("event = \"b\"\nwhere = { property = \"x\", in = [\"a\"] }");
        let start = at.min(text.len());
        text.replace_range(start..(start + length).min(text.len()), &with);
        let _ = Plan::parse("plan.toml", &text);
    }
}

#[test]
fn a_site_keeps_its_events_for_whole_days() {
    let site = |retention: &str| {
        format!("[[sites]]\nid = \"shop\"\nwrite_keys = [\"k\"]\nretention = \"{retention}\"\n")
    };
    let kept = |text: &str| Plan::parse("plan.toml", text).unwrap().sites[0].retention_days;
    assert_eq!(kept(&site("90d")), Some(90));
    assert_eq!(kept(&site("48h")), Some(2));
    assert_eq!(kept("[[sites]]\nid = \"shop\"\nwrite_keys = [\"k\"]\n"), None);
    for wrong in ["0d", "36h", "40000d", "soon", "-1d"] {
        let problem = problem(&site(wrong));
        assert!(
            problem.contains("is not a number of whole days") && problem.contains("MAX_RETENTION_DAYS"),
            "{problem}"
        );
    }
}
