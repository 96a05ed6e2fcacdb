//! The programs of `docs/server-side.md` do what they say: each is run as it stands there.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Running, start};

const DOCS: &str = include_str!("../../../../docs/server-side.md");

/// The block of a language under a heading.
fn program(heading: &str, language: &str) -> String {
    let (_, section) = DOCS.split_once(heading).unwrap_or_else(|| panic!("no heading {heading}"));
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// Runs a program on what a provider sends; gives back whether it ended well.
async fn run(running: &Running, mut command: Command, message: Value) -> bool {
    command.env("RUNGS_URL", &running.url).env("RUNGS_SECRET_KEY", "secret_wk").stdin(Stdio::piped());
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        child.stdin.take().unwrap().write_all(message.to_string().as_bytes()).unwrap();
        child.wait().unwrap().success()
    });
    ended.await.unwrap()
}

fn interpreter(name: &str, flag: &str, program: &str) -> Command {
    let mut command = Command::new(name);
    command.args([flag, program]);
    command
}

#[tokio::test]
async fn a_servers_own_event_in_shell() {
    let running = start().await;
    let program = program("## Any server", "sh");
    for _ in 0..2 {
        assert!(run(&running, interpreter("sh", "-c", &program), Value::Null).await);
    }
    let events = running.events();
    let event = &events[0];
    assert_eq!((event.event.as_str(), event.visitor_id.as_str()), ("call_booked", "3f0c6f1e"));
    assert_eq!((event.ts_ms, event.message_id.as_str()), (1_778_234_400_000, "booking-1042"));
    assert_eq!(events[1].message_id, event.message_id);
    running.assert_outcomes(2, 0, 0);
}

#[tokio::test]
async fn a_newsletters_confirmation_in_python() {
    let running = start().await;
    let program = program("## A newsletter's confirmation", "python");
    let message = json!({
        "id": "evt_7", "type": "subscriber.confirmed", "created_at": "2026-05-08T10:00:00Z",
        "subscriber": {"email": "ann@example.com", "fields": {"rungs_id": "visitor-9"}},
    });
    assert!(run(&running, interpreter("python3", "-c", &program), message).await);
    let event = running.events().remove(0);
    assert_eq!((event.event.as_str(), event.visitor_id.as_str()), ("newsletter_confirmed", "visitor-9"));
    assert_eq!((event.ts_ms, event.message_id.as_str()), (1_778_234_400_000, "evt_7"));
    assert!(!event.properties.contains("ann@"));
    running.assert_outcomes(1, 0, 0);
}

#[tokio::test]
async fn a_payment_in_javascript() {
    let running = start().await;
    let program = program("## A payment", "js");
    let message = json!({
        "id": "evt_8", "type": "checkout.completed", "created": 1_778_234_400,
        "data": {"client_reference_id": "visitor-9", "amount_total": 100, "currency": "eur"},
    });
    assert!(run(&running, interpreter("node", "-e", &program), message.clone()).await);
    let event = running.events().remove(0);
    assert_eq!((event.event.as_str(), event.visitor_id.as_str()), ("purchase", "visitor-9"));
    assert_eq!((event.ts_ms, event.message_id.as_str()), (1_778_234_400_000, "evt_8"));
    assert_eq!((event.revenue_e4, event.currency.as_str()), (10_000, "EUR"));
    running.assert_outcomes(1, 0, 0);

    // What is not stored is an error, so that the provider sends it again.
    running.log.refuse_next(event_log::PublishError::Storage("disk".into()));
    assert!(!run(&running, interpreter("node", "-e", &program), message).await);
}
