//! A site without cookies on a running program: who sends without an id is one visitor on the ladder, also over `kill -9`,
//! and the salt by which they are known is in a file of its owner's only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use program::Program;
use program::answers::visitors;
use runtime::now_ms;
use serde_json::json;

const DAY_MS: i64 = 86_400_000;
/// The test takes less than this; a visitor's day must not end in its middle.
const TEST_MS: i64 = 120_000;
const SETTINGS: &str = "[log]\npartitions = 2\n[logging]\nlevel = \"warn\"\n";
const PLAN: &str = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\ncookieless = true\n\
    [[funnels]]\nsite = \"shop\"\nid = \"purchase\"\nconversion_window = \"2h\"\nrolling_windows = [\"7d\"]\n\
    [[funnels.steps]]\nid = \"view\"\nevent = \"view\"\n[[funnels.steps]]\nid = \"buy\"\nevent = \"buy\"\n";

/// Sends an event without an id until it is taken: the salt may be a moment later than the first plan.
fn send(program: &Program, event: &str, agent: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    program.until("the event is taken", |program| {
        let body = json!({ "event": event, "messageId": format!("{event} {agent}") }).to_string();
        let request = reqwest::Client::new().post(format!("{}/v1/track", program.collector)).body(body);
        let request = request.header("x-write-key", "wk").header("user-agent", agent);
        let answer = runtime.block_on(async { request.send().await.unwrap().text().await.unwrap() });
        answer.contains("\"accepted\":1")
    });
}

fn until_live(program: &Program, wanted: &[u64]) {
    let live = |program: &Program| program.ask("shop/purchase", "live", &[("window", "7d")]).1;
    program.until_or(
        || format!("{wanted:?} in {}", live(program)),
        |program| live(program)["steps"].is_array() && visitors(&live(program)) == wanted,
    );
}

#[test]
fn who_sends_without_an_id_climbs_as_one_also_over_a_kill() {
    let left_ms = DAY_MS - now_ms().rem_euclid(DAY_MS);
    if left_ms < TEST_MS {
        std::thread::sleep(Duration::from_millis(left_ms.cast_unsigned()));
    }
    let program = Program::start_with(PLAN, SETTINGS);
    program.until_ready();
    let [firefox, chrome] = ["Mozilla/5.0 (X11; rv:127.0) Firefox/127.0", "Mozilla/5.0 (X11) Chrome/126.0"];
    send(&program, "view", firefox);
    send(&program, "view", chrome);
    until_live(&program, &[2, 0]);
    let program = program.kill().start();
    program.until_ready();
    send(&program, "buy", firefox);
    until_live(&program, &[2, 1]);
    let named = program.rows("SELECT DISTINCT visitor_id FROM events ORDER BY visitor_id");
    assert!(named.len() == 2 && named[0]["visitor_id"].as_str().unwrap().starts_with("day."), "{named:?}");
    let salts = program.path().join("data/salts");
    assert_eq!(std::fs::metadata(salts).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(program.stop(), Some(0));
}
