//! The table as people see it.

use super::*;

const ANSWER: &str = r#"{"site":"shop","funnel":"purchase","window":"7d","from":1715126400000,"to":1715731200000,
"as_of":1715731200000,"state":"ready","progress":1.0,
"rates":{"click_through":0.31,"opt_in":null,"engagement":0.386,"micro_to_macro":0.0063},
"steps":[
{"id":"view","name":"Viewed a product","commitment":"click","visitors":1158,"from_previous":null,"from_first":1.0,
 "to_last":0.0063,"open":97,"offered":3700,"ctr":0.31,"skipped":3,"seconds":{"p50":null,"p90":null},
 "effort_seconds":{"p50":4.2,"p90":9.0,"share_under_10s":0.9}},
{"id":"cart","name":"Put it into the cart and looked at it for a long time","commitment":"click","visitors":447,
 "from_previous":0.386,"from_first":0.386,"to_last":0.0164,"drop_off":711,"lost":614,"open":30,"offered":null,"ctr":null,"skipped":0,
 "seconds":{"p50":80.0,"p90":7000.0},"effort_seconds":{"p50":null,"p90":null,"share_under_10s":null}},
{"id":"buy","name":"Bought","commitment":"purchase","visitors":1,"from_previous":0.0022,"from_first":0.0009,
 "to_last":1.0,"drop_off":446,"lost":416,"open":null,"offered":null,"ctr":null,"skipped":null,"seconds":{"p50":200000.0,"p90":250000.0},
 "effort_seconds":{"p50":null,"p90":null,"share_under_10s":null}}],
"breakdown":[
{"value":"email","steps":[
 {"id":"view","name":"","visitors":900,"from_previous":null,"from_first":1.0,"open":0,"ctr":null,"skipped":null,"seconds":{"p50":null},"effort_seconds":{"p50":null}},
 {"id":"cart","name":"","visitors":400,"from_previous":0.4,"from_first":0.4,"open":0,"ctr":null,"skipped":null,"seconds":{"p50":null},"effort_seconds":{"p50":null}},
 {"id":"buy","name":"","visitors":1,"from_previous":0.4,"from_first":0.0011,"open":0,"ctr":null,"skipped":null,"seconds":{"p50":null},"effort_seconds":{"p50":null}}]},
{"value":"(none)","steps":[]}],"truncated":true}"#;

fn answer() -> Answer {
    serde_json::from_str(ANSWER).unwrap()
}

#[test]
fn a_wide_terminal_shows_everything() {
    let expected = "\
shop/purchase, 7d from 2024-05-08 00:00 to 2024-05-15 00:00 UTC

step                                visitors               of prev.  of first  drop-off  lost     CTR  time  effort  open  skipped
Viewed a product                       1,158  ███████████         –     100 %         –     –  31.0 %     –   4.2 s    97        3
Put it into the cart and looked a…       447  ████▏          38.6 %    38.6 %       711   614       –  80 s       –    30        0
Bought                                     1  ▏              0.22 %    0.09 %       446   416       –   2 d       –     –        –

click-through 31.0 %   opt-in –   engagement 38.6 %   micro to macro 0.63 %

channel  last of first  view  cart  buy
email           0.11 %   900   400    1
(none)               –
There are more values: small ones count as \"other\".
";
    let rendered = render(&answer(), Some("channel"), 130);
    assert_eq!(rendered, expected, "\n{rendered}");
}

#[test]
fn lines_fit_the_terminal_down_to_sixty_characters() {
    for width in 60..200 {
        let rendered = render(&answer(), Some("channel"), width);
        let widest = rendered
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with("click"))
            .map(console::measure_text_width)
            .max();
        assert!(widest.unwrap() <= width, "{width}:\n{rendered}");
        for number in
            ["1,158", "38.6 %", "711", "614", "31.0 %", "80 s", "4.2 s", "97", "skipped", "900", "400"]
        {
            assert!(rendered.contains(number), "{number} at {width}:\n{rendered}");
        }
    }
}

#[test]
fn eighty_characters_show_every_number_in_two_blocks() {
    let expected = "\
shop/purchase, 7d from 2024-05-08 00:00 to 2024-05-15 00:00 UTC

step                        visitors          of prev.  of first  drop-off  lost
Viewed a product               1,158  ██████         –     100 %         –     –
Put it into the cart and …       447  ██▎       38.6 %    38.6 %       711   614
Bought                             1  ▏         0.22 %    0.09 %       446   416

step                           CTR  time  effort  open  skipped
Viewed a product            31.0 %     –   4.2 s    97        3
Put it into the cart and …       –  80 s       –    30        0
Bought                           –   2 d       –     –        –

click-through 31.0 %   opt-in –   engagement 38.6 %   micro to macro 0.63 %
";
    let rendered = render(&answer(), None, 80);
    assert_eq!(rendered, expected, "\n{rendered}");
}

#[test]
fn small_shares_keep_two_digits_as_on_the_page() {
    let cases = [
        (None, "–"),
        (Some(0.0), "0 %"),
        (Some(0.000_236), "0.024 %"),
        (Some(0.006_71), "0.67 %"),
        (Some(0.005), "0.5 %"),
        (Some(0.000_000_1), "0.00001 %"),
        (Some(0.009_996), "1 %"),
        (Some(0.01), "1.0 %"),
        (Some(0.314), "31.4 %"),
        (Some(0.999_96), "100.0 %"),
        (Some(1.0), "100 %"),
    ];
    for (ratio, text) in cases {
        assert_eq!(percent(ratio), text, "{ratio:?}");
    }
}

#[test]
fn the_head_tells_the_moment_that_a_window_ends_where_its_minute_is_open() {
    let (from, to) = (Some(1_715_762_640_000), Some(1_715_766_238_412));
    let now = Answer { window: Some("1h".into()), from, to, ..answer() };
    let head = "shop/purchase, 1h from 2024-05-15 08:44 to 2024-05-15 09:43:58 UTC\n";
    assert!(render(&now, None, 130).starts_with(head), "{}", render(&now, None, 130));
}

#[test]
fn numbers_that_are_being_built_are_told() {
    let answer = Answer { state: "building".into(), progress: 0.426, steps: Vec::new(), ..answer() };
    let rendered = render(&answer, None, 100);
    assert!(rendered.contains("(past events are being counted, 42.6 % done)"), "{rendered}");
    assert!(rendered.contains("There are no numbers yet."), "{rendered}");
}

#[test]
fn names_that_no_step_has_are_told_where_they_may_be_slips_or_where_nobody_is_on_the_ladder() {
    let named = |event: &str, in_plan, meant: Option<&str>| NamedEvents {
        event: event.into(),
        count: 1_200,
        in_plan,
        did_you_mean: meant.map(str::to_owned),
    };
    let names = [named("other", false, None), named("view", true, None), named("veiw", false, Some("view"))];
    let told = strangers(&names, &answer()).unwrap();
    assert!(told.ends_with(":\n  veiw (1,200): did you mean view?\n"), "{told}");
    let empty = Answer { steps: Vec::new(), ..answer() };
    let told = strangers(&names, &empty).unwrap();
    assert!(told.ends_with("  veiw (1,200): did you mean view?\n  other (1,200)\n"), "{told}");
    assert_eq!(strangers(&names[..2], &answer()), None);
}

#[test]
fn a_bar_is_as_long_as_its_share_and_a_single_visitor_shows() {
    assert_eq!(bar(10, 10, 4), "████");
    assert_eq!(bar(5, 10, 4), "██");
    assert_eq!(bar(1, 1_000_000, 4), "▏");
    assert_eq!(bar(0, 10, 4), "");
    assert_eq!(bar(0, 0, 4), "");
}

#[test]
fn thousands_and_durations_read_well() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    let seconds = [0.4, 12.0, 119.0, 300.0, 7_300.0, 400_000.0];
    assert_eq!(
        seconds.map(|seconds| duration(Some(seconds))),
        ["0.4 s", "12 s", "119 s", "5 min", "2 h", "5 d"]
    );
}
