//! `rungs rebuild` on a running program: an event that came too late to be counted live is counted when the funnel is
//! ordered anew, and a funnel that is not meant stays as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use program::Program;
use program::answers::visitors;
use program::sending::{Event, Form, acknowledged};
use runtime::now_ms;

const DAY_MS: i64 = 86_400_000;
const SETTINGS: &str = "[log]\npartitions = 2\n[logging]\nlevel = \"warn\"\n";

fn plan() -> String {
    let funnel = |id: &str| {
        format!(
            "[[funnels]]\nsite = \"shop\"\nid = \"{id}\"\nconversion_window = \"2h\"\nrolling_windows = [\"7d\"]\n\
             [[funnels.steps]]\nid = \"view\"\nevent = \"view\"\n[[funnels.steps]]\nid = \"buy\"\nevent = \"buy\"\n"
        )
    };
    let site = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\nsecret_keys_sha256 = \
        [\"b5a797b61eb1e833f42c5f119c6ce8e2a1cc50d0b5523e700a0951f014cb746c\"]\n";
    [site.to_owned(), funnel("purchase"), funnel("other")].concat()
}

/// Sends a view of each visitor, so many days old.
fn view(program: &Program, names: &[&str], days: i64) {
    let event = |name: &&str| Event {
        visitor: (*name).into(),
        event: "view".into(),
        id: (*name).into(),
        at_ms: Some(now_ms() - days * DAY_MS),
        channel: "direct".into(),
    };
    let events: Vec<Event> = names.iter().map(event).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = Form::Batch.request(&reqwest::Client::new(), &program.collector, "wk", &events);
        assert_eq!(acknowledged(request).await, Some(events.len() as u64));
    });
}

fn until_live(program: &Program, funnel: &str, wanted: &[u64]) {
    let live = |program: &Program| program.ask(funnel, "live", &[("window", "7d")]).1;
    program.until_or(
        || format!("{wanted:?} in {}", live(program)),
        |program| live(program)["steps"].is_array() && visitors(&live(program)) == wanted,
    );
}

#[test]
fn a_late_event_is_counted_when_its_funnel_is_ordered_anew_and_by_that_one_alone() {
    let program = Program::start_with(&plan(), SETTINGS);
    program.until_ready();
    view(&program, &["late"], 3);
    view(&program, &["ann"], 0);
    until_live(&program, "shop/purchase", &[1, 0]);
    let rebuild = |more: &[&str]| {
        let target = ["rebuild", "--url", &program.collector, "--key", "sk_shop_demo", "--site", "shop"];
        program.run(&[&target[..], more].concat())
    };
    let unknown = rebuild(&["--funnel", "purchse"]);
    assert!(
        !unknown.ok
            && unknown.err.contains("no funnel \"purchse\"")
            && unknown.err.contains("its funnels: purchase"),
        "{}{}",
        unknown.out,
        unknown.err
    );
    let ended = rebuild(&["--funnel", "purchase"]);
    assert!(ended.ok && ended.out.starts_with("being counted anew"), "{}{}", ended.out, ended.err);
    until_live(&program, "shop/purchase", &[2, 0]);
    view(&program, &["bob"], 0);
    until_live(&program, "shop/purchase", &[3, 0]);
    until_live(&program, "shop/other", &[2, 0]);
    assert!(rebuild(&[]).ok);
    until_live(&program, "shop/other", &[3, 0]);
    assert_eq!(program.stop(), Some(0));
}
