//! Answers as CSV, for spreadsheets: asked for with `?format=csv` or `Accept: text/csv`. Cells that a spreadsheet would take
//! for a formula begin with an apostrophe, because names and ids come from whoever sends events.

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse};
use funnel::ladder::Rung;
use jiff::Timestamp;

use crate::answer::Answer;
use crate::api_error::ApiError;
use crate::params::Params;

/// Whether the caller wants CSV.
///
/// # Errors
/// When `format` is neither `json` nor `csv`.
pub(crate) fn is_wanted(params: &Params, request: &HttpRequest) -> Result<bool, ApiError> {
    match params.get("format") {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(other) => Err(ApiError::bad_parameter("format", format!("must be json or csv, not {other:?}"))),
        None => Ok(request
            .headers()
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/csv"))),
    }
}

/// Rows of text in the making.
pub(crate) struct Table(csv::Writer<Vec<u8>>);

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let mut table = Self(csv::Writer::from_writer(Vec::new()));
        table.row(head.iter().map(|name| (*name).to_owned()));
        table
    }

    /// Adds a row of as many cells as the head has.
    pub(crate) fn row(&mut self, cells: impl Iterator<Item = String>) {
        // Writing to memory fails only for a row of another length, which no caller makes.
        let _ = self.0.write_record(cells);
    }

    /// The answer; browsers save it under `name`, of letters, digits, `-`, `_` and `.`.
    pub(crate) fn answer(self, name: &str) -> HttpResponse {
        HttpResponse::Ok()
            .content_type("text/csv; charset=utf-8")
            .insert_header(("Content-Disposition", format!("attachment; filename=\"{name}\"")))
            .body(self.0.into_inner().unwrap_or_default())
    }
}

/// A text of others as a cell.
pub(crate) fn text(text: &str) -> String {
    match text.trim_start().starts_with(['=', '+', '-', '@']) || text.starts_with(['\t', '\r', '\n']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// A time as ISO 8601 in UTC.
pub(crate) fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

const LADDER: [&str; 20] = [
    "breakdown_value",
    "step",
    "name",
    "commitment",
    "visitors",
    "from_previous",
    "from_first",
    "to_last",
    "drop_off",
    "lost",
    "open",
    "offered",
    "ctr",
    "skipped",
    "seconds_p50",
    "seconds_p90",
    "effort_seconds_p50",
    "effort_seconds_p90",
    "effort_share_under_10s",
    "as_of",
];

/// A funnel's numbers: a row a step, everybody's first (with an empty value), then those of each breakdown value.
pub(crate) fn ladder(answer: &Answer) -> HttpResponse {
    let mut table = Table::new(&LADDER);
    let as_of = answer.as_of.map(time).unwrap_or_default();
    for rung in &answer.steps {
        table.row(rung_cells("", rung, &as_of));
    }
    for part in &answer.breakdown {
        for rung in &part.steps {
            table.row(rung_cells(&part.value, rung, &as_of));
        }
    }
    table.answer(&format!("{}-{}.csv", answer.site, answer.funnel))
}

fn rung_cells(value: &str, rung: &Rung, as_of: &str) -> impl Iterator<Item = String> {
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let count = |count: Option<u32>| count.map(|count| count.to_string()).unwrap_or_default();
    [
        text(value),
        text(&rung.id),
        text(&rung.name),
        rung.commitment.to_owned(),
        rung.visitors.to_string(),
        number(rung.from_previous),
        number(rung.from_first),
        number(rung.to_last),
        count(rung.drop_off),
        count(rung.lost),
        count(rung.open),
        count(rung.offered),
        number(rung.ctr),
        count(rung.skipped),
        number(rung.seconds.p50),
        number(rung.seconds.p90),
        number(rung.effort_seconds.p50),
        number(rung.effort_seconds.p90),
        number(rung.effort_seconds.share_under_10s),
        as_of.to_owned(),
    ]
    .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        for hostile in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n@x"] {
            assert_eq!(text(hostile), format!("'{hostile}"));
        }
        for harmless in ["", "email", "a=b", "1-2", "ann@example.org"] {
            assert_eq!(text(harmless), harmless);
        }
    }

    #[test]
    fn quotes_commas_and_lines_stay_in_their_cell() {
        let mut table = Table::new(&["a", "b"]);
        table.row(["x,\"y\"".to_owned(), "one\ntwo".to_owned()].into_iter());
        let bytes = table.0.into_inner().unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "a,b\n\"x,\"\"y\"\"\",\"one\ntwo\"\n");
    }

    #[test]
    fn a_time_is_iso_8601() {
        assert_eq!(time(1_715_731_200_500), "2024-05-15T00:00:00.5Z");
    }
}
