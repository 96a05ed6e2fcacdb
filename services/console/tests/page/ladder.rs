//! The ladder and what stands beside it say no more than the numbers do.

use serde_json::json;

use crate::browser::{self, Page};
use crate::running::Running;

const CHANGE: &str = "document.querySelector('.change')?.textContent";

#[tokio::test(flavor = "multi_thread")]
async fn one_visitor_is_not_many() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    console.source.change(|state| state.entered = 1);
    let mut page = Page::open(chromium, &format!("{}/?window=7d", console.url));
    let reached = "[...document.querySelectorAll('.reached')].slice(0, 2).map(each => each.querySelector('.visitors').textContent + each.querySelector('.unit').textContent)";
    page.until(reached, &json!(["1 visitor", "0 visitors"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_among_few_visitors_are_not_marked() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    // Everybody: 1,000, 520, 270, 140, 73. Those of both values go on four times in ten.
    let values = [("email", 602), ("direct", 28), ("solo", 0)];
    console.source.change(|state| state.values = values.map(|(value, n)| (value.to_owned(), n)).to_vec());
    let mut page = Page::open(chromium, &format!("{}/?window=7d&breakdown=channel", console.url));
    let marks = "[...document.querySelectorAll('[aria-labelledby=breakdown-title] tbody tr')].map(row => \
        [...row.querySelectorAll('td')].map(each => each.querySelector('.above, .below')?.className ?? ''))";
    let below = "ratio below";
    page.until(
        marks,
        &json!([
            ["", "", "", "", "", ""],
            ["", below, below, below, "", below], // 15 of 38 took the last step, 20 would have
            ["", "", "", "", "", ""],
            ["", "", "", "", "", ""],
        ]),
    );
    // Nobody began with the last one: an offer has it.
    let names = "[...document.querySelectorAll('[aria-labelledby=breakdown-title] tbody th')].map(each => each.textContent)";
    assert_eq!(
        page.evaluate(names),
        json!(["Everybody", "email", "direct", "solooffer shown, nobody began"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_from_or_to_few_visitors_is_told_without_a_percentage() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    let mut page = Page::open(chromium, &format!("{}/?window=7d&compare=previous", console.url));
    page.until(CHANGE, &" · unchanged".into());
    console.source.change(|state| state.entered = 1_200);
    page.until(CHANGE, &" · ▲\u{202f}20.0\u{202f}% from 1,000".into());
    console.source.change(|state| state.entered = 29);
    page.until(CHANGE, &" · was 1,000".into());
    console.source.change(|state| state.entered = 30);
    page.until(CHANGE, &" · ▼\u{202f}97.0\u{202f}% from 1,000".into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_is_not_asked_for() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    console.source.change(|state| state.kept_since_ms = state.as_of_ms - 86_400_000);
    let mut page = Page::open(chromium, &format!("{}/?window=7d&compare=previous", console.url));
    let compared = "document.querySelector('.compared')?.textContent";
    page.until(compared, &"There are no numbers of the 7d before.".into());
    assert_eq!(page.complaints(), Vec::<String>::new());
    page.evaluate("document.querySelector('#windows input[value=\"1h\"]').click()");
    page.until(compared, &" the 1h before".into());
    assert_eq!(page.complaints(), Vec::<String>::new());
}
