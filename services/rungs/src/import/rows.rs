//! A file as rows, whichever form it has. The first line of a CSV file, and empty lines, are no rows. A row that cannot be
//! read has a reason and does not keep the others from being read. Each has the line of the file at which it begins, as
//! an editor counts them.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Serialize;
use serde_json::value::RawValue;

use super::columns::Columns;
use super::csv_rows::CsvRows;
use super::ndjson_rows::NdjsonRows;
use super::source::Source;
use crate::failure::Failure;

/// What a row holds, not yet judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Row {
    pub(super) visitor: String,
    pub(super) event: String,
    pub(super) time: String,
    /// Only those with a value.
    pub(super) properties: Vec<(String, Json)>,
}

/// A value as JSON: of NDJSON as the file has it, so that a number keeps its own digits, as it does over HTTP.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(super) struct Json(Box<RawValue>);

impl Json {
    /// A text.
    pub(super) fn of_text(text: &str) -> Self {
        Self(serde_json::value::to_raw_value(text).unwrap_or_default())
    }
}

impl From<&RawValue> for Json {
    fn from(value: &RawValue) -> Self {
        Self(value.to_owned())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// A row, or why it cannot be read.
pub(super) type ReadRow = Result<Row, String>;

/// Where a row begins in the file, from 1, and the row.
pub(super) type PlacedRow = (u64, ReadRow);

/// The rows of a file.
pub(super) struct Rows {
    form: Form,
    /// Bytes of the file that were read so far.
    pub(super) read_bytes: Arc<AtomicU64>,
}

enum Form {
    Csv(CsvRows),
    Ndjson(NdjsonRows),
}

impl Rows {
    /// Opens a file; its first character tells the form.
    pub(super) fn open(path: &Path, columns: &Columns) -> Result<Self, Failure> {
        let name = path.display();
        let unreadable = |error: std::io::Error| Failure::new(format!("{name} cannot be read: {error}"));
        let mut source = Source::open(path).map_err(unreadable)?;
        let (first, skipped_lines) = first_character(source.reader.as_mut()).map_err(unreadable)?;
        let form = match first {
            None => return Err(Failure::new(format!("{name} is empty"))),
            Some(b'[') => return Err(Failure::new(format!("{name}: {JSON_ARRAY}"))),
            Some(b'{') => Form::Ndjson(NdjsonRows::new(source.reader, columns.clone(), skipped_lines)),
            Some(_) => {
                let rows = CsvRows::new(source.reader, columns, skipped_lines);
                Form::Csv(rows.map_err(|reason| Failure::new(format!("{name}: {reason}")))?)
            }
        };
        Ok(Self { form, read_bytes: source.read_bytes })
    }
}

const JSON_ARRAY: &str = "this is a JSON array; make it one object a line, for example with jq -c '.[]'";

impl Iterator for Rows {
    /// `Err`: the file cannot be read any further.
    type Item = std::io::Result<PlacedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.form {
            Form::Csv(rows) => rows.next(),
            Form::Ndjson(rows) => rows.next(),
        }
    }
}

/// The first byte that is not white space or a byte order mark; those before it are taken, and their lines counted.
fn first_character(reader: &mut dyn BufRead) -> std::io::Result<(Option<u8>, u64)> {
    let mut lines = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let Some(first) = buffer.first().copied() else { return Ok((None, lines)) };
        let skip = match buffer {
            [0xef, 0xbb, 0xbf, ..] => 3,
            _ if first.is_ascii_whitespace() => 1,
            _ => return Ok((Some(first), lines)),
        };
        lines += u64::from(first == b'\n');
        reader.consume(skip);
    }
}
