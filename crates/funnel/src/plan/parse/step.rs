//! `[[funnels.steps]]`: one small yes.

use checked_toml::{Table, did_you_mean};

use super::unique::Unique;
use super::{fields, filter};
use crate::plan::{Commitment, Step};

pub(super) fn read(table: Table<'_>, ids: &mut Unique) -> Option<Step> {
    let id = fields::id(&table, "step");
    if let Some(id) = id {
        ids.check(&table, id);
    }
    let name = fields::name(&table, id);
    let events = events(&table);
    let filter = filter::read(&table);
    let offer = table.text("offer").and_then(|offer| fields::plain_name(&table, offer, "offer"));
    let commitment = commitment(&table);
    table.finish();
    let offer = offer.map(|offer| offer.value.to_owned());
    Some(Step { id: id?.value.to_owned(), name: name?, events, filter, offer, commitment: commitment? })
}

fn events(table: &Table<'_>) -> Vec<String> {
    let Some(value) = table.value("event") else {
        let hint = "add event = \"…\", the event's name as the site sends it";
        table.report(table.line(), format!("{} has no event", table.subject()), hint);
        return Vec::new();
    };
    let events = fields::one_or_several(table, "event", value);
    fields::no_repeats(table, "event", &events);
    let named = events.into_iter().filter_map(|event| fields::plain_name(table, event, "event"));
    named.map(|event| event.value.to_owned()).collect()
}

fn commitment(table: &Table<'_>) -> Option<Commitment> {
    if !table.contains("commitment") {
        table.expect("commitment");
        return Some(Commitment::Other);
    }
    let name = table.text("commitment")?;
    let known = Commitment::from_name(name.value);
    if known.is_none() {
        let names = Commitment::ALL.map(Commitment::as_str);
        let hint = match did_you_mean(name.value, names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", names.join(", ")),
        };
        table.report(
            name.line,
            format!("{} has an unknown commitment \"{}\"", table.subject(), name.value),
            hint,
        );
    }
    known
}
