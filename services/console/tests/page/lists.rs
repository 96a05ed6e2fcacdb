//! What arrives and who is stuck, on the page.

use serde_json::{Value, json};

use crate::browser::{self, Page};
use crate::running::Running;

const ARRIVED: &str = "[...document.querySelectorAll('[aria-label=\"The last events\"] tbody tr')].map(row => \
    [row.querySelector('code').textContent, row.querySelector('.fate').textContent])";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_arrives_is_listed_within_three_seconds_with_its_fate() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    let mut page = Page::open(chromium, &format!("{}/?arriving=open", console.url));
    page.until(
        ARRIVED,
        &json!([
            ["product_view", "matches step 1: Viewed a product"],
            ["cart", "offer of step 3: Told us where to"],
            ["purchase", "Rejected (invalid_timestamp): timestamp is no time: \"yesterday\""],
            ["prodct_view", "No step or offer has this name. Did you mean \"product_view\"?"],
        ]),
    );
    let width = "document.querySelector('.events .name').getBoundingClientRect().width >= 150";
    page.until(width, &true.into());
    console.source.change(|state| state.arrived.insert(0, (0, "add_to_cart".into(), "{}".into())));
    let sent = std::time::Instant::now();
    page.until(&format!("({ARRIVED})[0][0]"), &"add_to_cart".into());
    assert!(sent.elapsed() < std::time::Duration::from_secs(3), "{:?}", sent.elapsed());
    console.source.change(|state| state.as_of_ms -= 60_000);
    page.until(
        "document.querySelector('.fold p').textContent.startsWith('ClickHouse holds what came until')",
        &true.into(),
    );
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_stuck_is_shown_for_a_key_that_is_kept_nowhere() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    let mut page = Page::open(chromium, &format!("{}/?window=7d", console.url));
    page.until("document.querySelectorAll('#stuck-step option').length", &4.into());
    let ask = |key: &str| {
        format!(
            "document.getElementById('stuck-key').value = '{key}'; \
            document.querySelector('.ask button').click(); document.querySelector('.ask').closest('details').open = true"
        )
    };
    let told = "document.querySelector('.ask + p').textContent";
    page.evaluate(&ask("wk_shop_demo"));
    page.until(told, &"that is no secret key of the site".into());
    page.evaluate(&ask("sk_shop_demo"));
    let people = "[...document.querySelectorAll('.people tbody th')].map(each => each.textContent)";
    page.until(people, &json!(["=HYPERLINK(1)", "visitor-2", "visitor-3", "visitor-4"]));
    page.evaluate(
        "[...document.querySelectorAll('button')].find(each => each.textContent === 'More').click()",
    );
    page.until(&format!("{people}.length"), &6.into());
    page.evaluate("[...document.querySelectorAll('.ask button')].find(each => each.textContent === 'Download CSV').click()");
    page.until(told, &"Downloaded.".into());
    let kept = page
        .evaluate("JSON.stringify([location.href, document.cookie, {...localStorage}, {...sessionStorage}])");
    assert!(!kept.as_str().unwrap().contains("sk_shop"), "{kept}");
    // It outlives another look at the ladder, and not the page.
    page.evaluate("document.querySelector('#windows input[value=\"24h\"]').click()");
    page.until("document.getElementById('stuck-key').value", &"sk_shop_demo".into());
    page.go(&format!("{}/?window=24h", console.url));
    page.until("document.getElementById('stuck-key')?.value", &"".into());
    let complaints = page.complaints();
    assert!(complaints.iter().all(|text| text.contains("401")), "only the wrong key: {complaints:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_last_day_say_which_window_their_numbers_are_of() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    console.is_now();
    let mut page = Page::open(chromium, &format!("{}/?window=7d", console.url));
    page.until("document.querySelector('.trend b')?.textContent.endsWith(' in 7d')", &true.into());
    page.evaluate("document.querySelector('#windows input[value=\"24h\"]').click()");
    page.until("document.querySelector('.trend b')?.textContent.endsWith(' in 24h')", &true.into());
    let named =
        "document.querySelector('.trend svg').getAttribute('aria-label').includes('visitors of 24h: ')";
    page.until(named, &true.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_in_the_address() {
    let Some(chromium) = browser::chromium() else { return };
    let console = Running::start(None);
    let mut page =
        Page::open(chromium, &format!("{}/?funnel=shop/purchase&window=today&compare=previous", console.url));
    let picked = "[document.querySelector('#windows input:checked')?.value, document.getElementById('compare')?.checked]";
    page.until(picked, &json!(["today", true]));
    page.evaluate("document.querySelector('#windows input[value=\"7d\"]').click()");
    let address = "location.search";
    page.until(address, &"?funnel=shop%2Fpurchase&window=7d&compare=previous".into());
    page.evaluate("document.getElementById('breakdown').value = 'channel'; document.getElementById('breakdown').dispatchEvent(new Event('change', {bubbles: true}))");
    page.until("document.getElementById('breakdown-title')?.textContent", &"By channel".into());
    page.evaluate("document.querySelector('.fold summary').click()");
    page.until(
        address,
        &"?funnel=shop%2Fpurchase&window=7d&breakdown=channel&compare=previous&arriving=open".into(),
    );
    page.evaluate("history.back()");
    page.until("document.getElementById('breakdown-title')", &Value::Null);
    assert_eq!(page.complaints(), Vec::<String>::new());
}
