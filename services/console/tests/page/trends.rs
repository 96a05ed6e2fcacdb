//! The lines of the last 24 hours end in what the ladder shows, also where there is hardly a line yet.

use serde_json::json;

use crate::browser::{self, Page};
use crate::running::Running;

/// The number above each line, and those of the ladder.
const ABOVE: &str = "[...document.querySelectorAll('.trend b')].map(each => each.firstChild.textContent)";
const LADDER: &str = "[...document.querySelectorAll('.ladder .visitors')].map(each => each.textContent)";
const HINT: &str = "[...document.querySelectorAll('[aria-labelledby=trend-title] > p:not([hidden])')].map(each => each.textContent).join(' ')";

/// The numbers' time is a little ahead, so that no point of the history gets newer while a test looks.
fn is_newer_than_its_history(console: &Running) {
    console.is_now();
    console.source.change(|state| state.as_of_ms += 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_ends_in_the_ladders_number_and_moves_with_it() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    is_newer_than_its_history(&console);
    let mut page = Page::open(chromium, &format!("{}/?window=7d", console.url));
    page.until(ABOVE, &json!(["1,000", "520", "270", "140", "73"]));
    assert_eq!(page.evaluate(LADDER), page.evaluate(ABOVE));
    let reads =
        "performance.getEntriesByType('resource').filter(each => each.name.includes('/history')).length";
    let before = page.evaluate(reads);
    console.source.change(|state| (state.entered, state.as_of_ms) = (4_321, state.as_of_ms + 1_000));
    page.until(&format!("{ABOVE}[0]"), &"4,321".into());
    assert_eq!(page.evaluate(LADDER), page.evaluate(ABOVE));
    assert_eq!(page.evaluate(reads), before, "the stream moved it");
    // It is the highest now, at the right edge, and the first of the table.
    let end = "document.querySelector('.trend .line').getAttribute('d').split('L').at(-1)";
    assert_eq!(page.evaluate(end), "240.0 4.0");
    assert_eq!(page.evaluate("document.querySelector('.range').lastChild.textContent"), "high 4,321");
    let newest = "document.querySelector('[aria-labelledby=trend-title] tbody tr td').textContent";
    assert_eq!(page.evaluate(newest), "4,321");
    // A split does not change whom the lines are about.
    page.evaluate("document.getElementById('breakdown').value = 'channel'; document.getElementById('breakdown').dispatchEvent(new Event('change', {bubbles: true}))");
    page.until("document.getElementById('breakdown-title')?.textContent", &"By channel".into());
    page.until(&format!("{ABOVE}[0]"), &"4,321".into());
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_older_than_the_newest_point_do_not_end_the_line() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    console.source.change(|state| state.as_of_ms -= 7_200_000);
    let mut page = Page::open(chromium, &format!("{}/?window=7d", console.url));
    page.until(&format!("{LADDER}[0]"), &"1,000".into());
    page.until(&format!("{ABOVE}.length"), &5.into());
    let newest = "document.querySelector('[aria-labelledby=trend-title] tbody tr td').textContent";
    assert_eq!(page.evaluate(&format!("{ABOVE}[0] === {newest} && {newest} !== '1,000'")), true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sites_lines_are_points_that_say_so() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    is_newer_than_its_history(&console);
    console.source.change(|state| (state.kept_since_ms, state.has_numbers) = (i64::MAX, false));
    let mut page = Page::open(chromium, "about:blank");
    page.on_a_screen(1280, 900, false);
    page.go(&format!("{}/?window=7d", console.url));
    page.until(&format!("{HINT}.includes('The lines begin with the first closed minutes.')"), &true.into());
    let width = "[...document.querySelectorAll('[aria-labelledby=trend-title] > p:not([hidden])')].every(each => each.getBoundingClientRect().width > 800)";
    assert_eq!(page.evaluate(width), true, "it has the card's width");
    // The first numbers: a point each, without a lowest and a highest.
    console.source.change(|state| state.has_numbers = true);
    page.until(ABOVE, &json!(["1,000", "520", "270", "140", "73"]));
    let drawn = "[...document.querySelectorAll('.trend')].map(each => [each.querySelector('.dots').getAttribute('d').split('M').length - 1 > 0, each.querySelector('.range').textContent])";
    assert_eq!(page.evaluate(drawn), json!([[true, ""], [true, ""], [true, ""], [true, ""], [true, ""]]));
    assert!(page.evaluate(HINT).as_str().unwrap().contains("The lines have just begun"));
    assert_eq!(page.complaints(), Vec::<String>::new());
}
