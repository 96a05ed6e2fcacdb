//! `[[funnels.steps]]`: one small yes.

use checked_toml::{Located, Table, did_you_mean};

use super::unique::Unique;
use super::{fields, filter};
use crate::plan::{Commitment, Enforcement, Site, Step};

pub(super) fn read(table: Table<'_>, site: Option<&Site>, ids: &mut Unique) -> Option<Step> {
    let id = fields::id(&table, "step");
    if let Some(id) = id {
        ids.check(&table, id);
    }
    let name = fields::name(&table, id);
    let events = events(&table, site);
    let filter = filter::read(&table);
    let offer = table.text("offer").and_then(|offer| fields::plain_name(&table, offer, "offer"));
    if let Some(offer) = offer {
        check_planned(&table, site, offer);
    }
    let commitment = commitment(&table);
    table.finish();
    let offer = offer.map(|offer| offer.value.to_owned());
    Some(Step { id: id?.value.to_owned(), name: name?, events, filter, offer, commitment: commitment? })
}

fn events(table: &Table<'_>, site: Option<&Site>) -> Vec<String> {
    let Some(value) = table.value("event") else {
        let hint = "add event = \"…\", the event's name as the site sends it";
        table.report(table.line(), format!("{} has no event", table.subject()), hint);
        return Vec::new();
    };
    let events = fields::one_or_several(table, "event", value);
    fields::no_repeats(table, "event", &events);
    let named = events.into_iter().filter_map(|event| fields::plain_name(table, event, "event"));
    named.inspect(|event| check_planned(table, site, *event)).map(|event| event.value.to_owned()).collect()
}

/// An event that a strict schema does not name, and that allows no others, is rejected: a step of it would never be taken.
fn check_planned(table: &Table<'_>, site: Option<&Site>, event: Located<&str>) {
    let Some(Site { id, schema: Some(schema), .. }) = site else { return };
    if schema.enforcement == Enforcement::Lenient || schema.plans(event.value) {
        return;
    }
    let message = format!(
        "{}: \"{}\" is not among the events of site \"{id}\", whose schema is strict and allows no others, so it is always rejected",
        table.subject(),
        event.value
    );
    let hint = match did_you_mean(event.value, schema.events.iter().map(|planned| planned.name.as_str())) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("add [[sites.events]] with name = \"{}\"", event.value),
    };
    table.report(event.line, message, hint);
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
