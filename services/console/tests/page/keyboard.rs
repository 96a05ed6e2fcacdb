//! Without a mouse: everything can be reached and done, and one sees where one is.

use serde_json::{Value, json};

use crate::browser::{self, Page};
use crate::running::Running;

/// The focused element, and whether one sees that it is.
const FOCUSED: &str = "(() => { const it = document.activeElement; const shown = it.name === 'window' ? it.nextElementSibling : it; \
    const style = getComputedStyle(shown); return [it.id || it.name || it.className || it.textContent.trim().slice(0, 24), \
    style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]; })()";

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_reached_in_order_and_seen_to_be() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    let mut page = Page::open(chromium, &format!("{}/?window=7d&breakdown=channel", console.url));
    page.on_a_screen(1280, 900, false);
    page.until("document.querySelectorAll('.trend .line').length", &5.into());
    let mut walked = Vec::new();
    for _ in 0..12 {
        page.press("Tab");
        let [name, seen]: [Value; 2] = serde_json::from_value(page.evaluate(FOCUSED)).unwrap();
        assert_eq!(seen, true, "one does not see that {name} has the focus");
        walked.push(name.as_str().unwrap().to_owned());
    }
    let expected = ["skip", "brand", "funnel", "window", "breakdown", "compare", "plain", "scroll"];
    assert_eq!(walked[..expected.len()], expected);
    let rest: Vec<&str> = walked[expected.len()..].iter().map(String::as_str).collect();
    assert_eq!(rest, ["Show as a table", "What is arrivingthe last", "Who is stuckvisitors to ", "API"]);

    // The period is a group: arrows move within it, and what is picked is shown.
    page.evaluate("document.querySelector('#windows input:checked').focus()");
    page.press("ArrowRight");
    page.until("new URLSearchParams(location.search).get('window')", &"28d".into());
    page.until("document.activeElement.value", &"28d".into());
    // A list opens and closes with Enter.
    page.evaluate("document.querySelector('.fold summary').focus()");
    page.press("Enter");
    page.until("document.querySelectorAll('.events .fate').length > 0", &true.into());
    page.press("Enter");
    page.until("document.querySelector('.fold').open", &false.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_reader_finds_names_headings_and_tables() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    let mut page = console.whole_page(chromium);
    let nameless = "[...document.querySelectorAll('button, select, input, a, summary, svg[role=img], [role=region]')].filter(each => \
        !(each.getAttribute('aria-label') || each.getAttribute('aria-labelledby') || each.labels?.length || each.textContent.trim())).map(each => each.outerHTML)";
    assert_eq!(page.evaluate(nameless), json!([]));
    assert_eq!(page.evaluate("document.querySelectorAll('h1').length"), 1);
    let levels =
        page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(each => Number(each.tagName[1]))");
    let levels: Vec<i64> = serde_json::from_value(levels).unwrap();
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1 || pair == [1, 3]), "{levels:?}");
    assert_eq!(page.evaluate("document.documentElement.lang"), "en");
    let twins = "new Set([...document.querySelectorAll('[id]')].map(each => each.id)).size === document.querySelectorAll('[id]').length";
    assert_eq!(page.evaluate(twins), true, "every id is one");
    // Charts have their numbers as a table behind them.
    assert_eq!(
        page.evaluate(
            "document.querySelectorAll('[aria-labelledby=trend-title] table tbody tr').length > 20"
        ),
        true
    );
}
