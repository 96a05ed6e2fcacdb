//! The plans of the runs: two sites with three funnels, of which one comes, goes and changes.

use funnel::Plan;
use funnel::plan::Funnel;
use funnel::windows::MINUTE_MS;

use crate::linker;

/// When every run begins, UTC milliseconds: a minute's beginning.
pub const T0: i64 = 1_700_000_000_000 / MINUTE_MS * MINUTE_MS;
/// The horizon of all runs: short, so that events are late often.
pub const HORIZON_MS: i64 = 10 * MINUTE_MS;
/// Nobody's tail is full.
pub const MAX_TAIL_EVENTS: usize = 1_000;
/// Values of the breakdown that events carry.
pub const CHANNELS: [&str; 3] = ["email", "ad", "direct"];

/// A plan's text. Plans differ in the funnel `second` only: absent, by one definition, by another.
pub fn text(number: u64) -> String {
    let mut text = String::new();
    for site in ["s", "t"] {
        text += &format!("[[sites]]\nid = \"{site}\"\nwrite_keys = [\"wk_{site}\"]\norigins = [\"*\"]\n");
        if site == linker::SITE {
            text += "identity = \"links\"\n";
        }
    }
    text += &funnel("s", "first", "15m", &["a", "b", "c"]);
    text += &funnel("t", "third", "30m", &["a", "b"]);
    match number % 3 {
        0 => {}
        1 => text += &funnel("s", "second", "20m", &["b", "c"]),
        _ => text += &funnel("s", "second", "8m", &["b", "c"]),
    }
    text
}

fn funnel(site: &str, id: &str, window: &str, events: &[&str]) -> String {
    let mut text = format!(
        "[[funnels]]\nsite = \"{site}\"\nid = \"{id}\"\nconversion_window = \"{window}\"\n\
         rolling_windows = [\"5m\", \"30m\"]\nbreakdowns = [\"channel\"]\n"
    );
    for event in events {
        text += &format!("[[funnels.steps]]\nid = \"{event}\"\nevent = \"{event}\"\n");
        if *event == "b" {
            text += "offer = \"o\"\n";
        }
    }
    text
}

/// A plan.
pub fn plan(number: u64) -> Plan {
    Plan::parse("plan.toml", &text(number)).unwrap()
}

/// A funnel's definition, as rows name it.
pub fn definition(funnel: &Funnel) -> u64 {
    funnel.definition_hash(HORIZON_MS)
}
