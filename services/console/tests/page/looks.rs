//! Every state of the page on two screens in two schemes: it says what it must, nothing sticks out, nobody complains.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::browser::{self, Page};
use crate::running::Running;

const DESKTOP: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (390, 844);

/// What reaches beyond the screen's edge; tables scroll within themselves.
const STICKS_OUT: &str = "[...document.querySelectorAll('body *')].filter(each => !each.closest('.scroll, .segments, pre, svg') && \
    each.getBoundingClientRect().right > WIDTH + 1).map(each => each.className + ' ' + each.textContent.slice(0, 40)).slice(0, 3)";

/// Looks at a state on every screen; `ready` holds when there is something to see.
fn look(console: &Running, name: &str, query: &str, ready: (&str, Value)) {
    let Some(chromium) = browser::chromium() else { return };
    let mut page = Page::open(chromium, "about:blank");
    for (screen, (width, height), dark) in
        [("desktop", DESKTOP, false), ("dark", DESKTOP, true), ("phone", PHONE, false)]
    {
        page.on_a_screen(width, height, dark);
        page.go(&format!("{}/{query}", console.url));
        page.until(ready.0, &ready.1);
        page.evaluate("document.fonts.ready.then(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))))");
        if let Some(folder) = std::env::var_os("RUNGS_SCREENSHOTS") {
            let bytes = base64::engine::general_purpose::STANDARD.decode(page.picture()).unwrap();
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}-{screen}.png")), bytes)
                .unwrap();
        }
        let sticks_out = STICKS_OUT.replace("WIDTH", &width.to_string());
        assert_eq!(page.evaluate(&sticks_out), json!([]), "{name} on {screen}");
    }
    assert_eq!(complaints(&mut page), Vec::<String>::new(), "{name}");
}

/// What went wrong, but for answers that a state asks for.
fn complaints(page: &mut Page) -> Vec<String> {
    let all = page.complaints();
    all.into_iter().filter(|text| !text.contains("Failed to load resource")).collect()
}

fn full(console: &Running) {
    console.is_now();
    console.source.change(|state| {
        state.entered = 48_210;
        let values = ["email", "organic", "paid_search", "social", "direct", "(none)"];
        state.values =
            values.iter().zip(2..).map(|(value, part)| ((*value).to_owned(), 48_210 / part)).collect();
        let now = state.as_of_ms;
        for (hours, text) in [(3, "email sent"), (9, "new checkout")] {
            let (id, at) = (text.to_owned(), now - hours * 3_600_000);
            state.notes.push(warehouse::annotations::Annotation {
                site: "shop".into(),
                id,
                at,
                text: text.into(),
            });
        }
    });
}

const SHOWN: (&str, bool) = (
    "document.querySelectorAll('.trend .line').length > 0 && document.querySelector('.visitors')?.textContent !== '–'",
    true,
);

#[tokio::test(flavor = "multi_thread")]
async fn the_ladder_with_everything_open() {
    let console = Running::start(None);
    full(&console);
    let query = "?funnel=shop/purchase&window=7d&breakdown=channel&compare=previous&arriving=open";
    let ready = "document.querySelectorAll('.events .chip').length > 0 && document.querySelectorAll('.note-mark').length === 10 && \
        document.querySelector('.change')?.textContent !== ''";
    look(&console, "ladder", query, (ready, true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn today_in_the_sites_zone() {
    let console = Running::start(None);
    full(&console);
    let ready = "document.querySelector('.change')?.textContent.length > 3 && document.querySelector('.rate-was')?.textContent.includes('yesterday')";
    look(&console, "today", "?funnel=ladder/ladder&window=today&compare=previous", (ready, true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_ladder_teaches_how_to_fill_it() {
    let console = Running::start(None);
    console.is_now();
    console.source.change(|state| (state.entered, state.arrived) = (0, state.arrived.split_off(2)));
    let ready = "document.querySelector('.guide pre')?.textContent.includes('curl') && document.querySelectorAll('.events .fate').length > 0";
    look(&console, "empty", "", (ready, true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_began_a_moment_ago() {
    let console = Running::start(None);
    console.is_now();
    let values = [("email", 180), ("direct", 3), ("solo", 0)];
    console.source.change(|state| {
        state.entered = 183;
        state.values = values.map(|(value, entered)| (value.to_owned(), entered)).to_vec();
        state.kept_since_ms = state.as_of_ms - 600_000;
    });
    let ready = "document.querySelectorAll('.trend .dots').length === 5 && document.querySelector('.compared').textContent !== ''";
    look(&console, "new", "?window=7d&breakdown=channel&compare=previous", (ready, true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_plan_shows_one_to_begin_with() {
    let console = Running::start(None);
    console.plan.send_replace(None);
    look(
        &console,
        "noplan",
        "",
        ("document.querySelector('.guide h1')?.textContent", "No funnel is planned yet".into()),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_and_the_page_stays() {
    let console = Running::start(None);
    full(&console);
    console.source.change(|state| state.is_down = true);
    let ready = "document.querySelector('#notice p')?.textContent.includes('ClickHouse')";
    look(&console, "error", "", (ready, true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_says_how_far_it_is() {
    let console = Running::start(None);
    full(&console);
    console.source.change(|state| state.building = Some(0.42));
    look(
        &console,
        "building",
        "?window=7d",
        ("document.querySelector('#notice progress')?.value", 0.42.into()),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_funnels_and_long_names() {
    let console = Running::start(None);
    full(&console);
    let long = "From the very first glance at a product in a newsletter that somebody forwarded to an order that was really paid for";
    let site = |id: &str| format!("[[sites]]\nid = \"{id}\"\nwrite_keys = [\"wk_{id}\"]\n");
    let funnel = |number: usize| {
        let site = ["a-shop-with-quite-a-long-name-for-a-site", "blog", "app"][number % 3];
        let steps: String = (1..=6)
            .map(|step| {
                let name = if number == 0 { format!("{step}: answered the {long} question") } else { format!("Step {step}") };
                format!("[[funnels.steps]]\nid = \"s{step}\"\nname = \"{name}\"\nevent = \"an_event_with_a_long_name_that_nobody_shortens_{step}\"\noffer = \"offer_{step}\"\n")
            })
            .collect();
        format!(
            "[[funnels]]\nsite = \"{site}\"\nid = \"f{number}\"\nname = \"{long} {number}\"\nconversion_window = \"7d\"\n\
            rolling_windows = [\"1h\", \"24h\", \"7d\", \"28d\", \"30d\", \"90d\"]\nbreakdowns = [\"channel\"]\n{steps}"
        )
    };
    let sites: String =
        ["a-shop-with-quite-a-long-name-for-a-site", "blog", "app"].iter().map(|id| site(id)).collect();
    let funnels: String = (0..12).map(funnel).collect();
    console.plan(&format!("{sites}{funnels}"));
    console.source.change(|state| {
        state.values.push(("a value that somebody typed into a link and that goes on and on".into(), 900))
    });
    look(&console, "twelve", "?window=7d&breakdown=channel", (SHOWN.0, SHOWN.1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_console_asks_for_its_token() {
    let console = Running::start(Some("token"));
    full(&console);
    let Some(chromium) = browser::chromium() else { return };
    // A browser on this machine needs none; one that shows a wrong one is asked.
    let mut page = Page::open(chromium, &format!("{}/?token=wrong", console.url));
    page.until("document.querySelector('.token input')?.type", &"password".into());
    assert_eq!(page.evaluate("location.search"), "", "it does not stay in the address");
    page.evaluate("document.querySelector('.token input').value = 'token'; document.querySelector('.token button').click()");
    page.until(SHOWN.0, &SHOWN.1.into());
}
