//! Rows of NDJSON: an object a line. A column is a key; where there is no such key, its dots reach into objects.
//!
//! Numbers are as the file has them, digit for digit: an id that is a number is then the visitor that the same number is over
//! HTTP, and two that a 64-bit float cannot tell apart are two.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::columns::Columns;
use super::rows::{Json, PlacedRow, ReadRow, Row};

/// Bytes of a line, at most: a file without line ends must not fill the memory.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// Reads rows.
pub(super) struct NdjsonRows {
    input: Box<dyn BufRead + Send>,
    columns: Columns,
    line: Vec<u8>,
    /// Lines read so far, from the file's beginning.
    lines: u64,
}

impl NdjsonRows {
    pub(super) fn new(input: Box<dyn BufRead + Send>, columns: Columns, skipped_lines: u64) -> Self {
        Self { input, columns, line: Vec::new(), lines: skipped_lines }
    }

    pub(super) fn next(&mut self) -> Option<io::Result<PlacedRow>> {
        loop {
            match self.next_line() {
                Err(error) => return Some(Err(error)),
                Ok(false) => return None,
                Ok(true) if self.line.trim_ascii().is_empty() => {}
                Ok(true) => return Some(Ok((self.lines, self.row()))),
            }
        }
    }

    /// False at the end of the file.
    fn next_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.lines += 1;
        let bytes = self.input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line)?;
        if bytes as u64 == MAX_LINE_BYTES && self.line.last() != Some(&b'\n') {
            let reason = format!("a line is longer than {MAX_LINE_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(bytes > 0)
    }

    fn row(&self) -> ReadRow {
        let line: &RawValue =
            serde_json::from_slice(&self.line).map_err(|error| format!("is not JSON: {error}"))?;
        let Some(object) = Object::of(line) else { return Err("is not a JSON object".to_owned()) };
        let text = |column: &str| plain_text(column, object.find(column));
        let property = |(name, column): &(String, String)| {
            let value = object.find(column).filter(|value| value.get() != "null")?;
            Some((name.clone(), Json::from(value)))
        };
        Ok(Row {
            visitor: text(&self.columns.visitor)?,
            event: text(&self.columns.event)?,
            time: text(&self.columns.time)?,
            properties: self.columns.properties.iter().filter_map(property).collect(),
        })
    }
}

/// An object's keys and values; of a key that is there twice the last counts.
#[derive(Deserialize)]
struct Object<'l>(#[serde(borrow)] HashMap<String, &'l RawValue>);

impl<'l> Object<'l> {
    fn of(value: &'l RawValue) -> Option<Self> {
        value.get().starts_with('{').then(|| serde_json::from_str(value.get()).ok()).flatten()
    }

    /// The value of a key, or of a path with dots.
    fn find(&self, column: &str) -> Option<&'l RawValue> {
        self.0.get(column).copied().or_else(|| {
            let (first, rest) = column.split_once('.')?;
            Object::of(self.0.get(first)?)?.find(rest)
        })
    }
}

fn plain_text(column: &str, value: Option<&RawValue>) -> Result<String, String> {
    let json = value.map_or("null", RawValue::get);
    match json.as_bytes().first() {
        Some(b'n') => Ok(String::new()),
        Some(b'"') => serde_json::from_str(json).map_err(|error| format!("{column} is no text: {error}")),
        Some(b'-' | b'0'..=b'9') => Ok(json.to_owned()),
        _ => Err(format!("{column} is neither text nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<ReadRow> {
        let columns = Columns {
            visitor: "user.id".into(),
            event: "name".into(),
            time: "at".into(),
            properties: vec![("plan".into(), "user.plan.name".into()), ("cart".into(), "cart".into())],
        };
        let mut rows = NdjsonRows::new(Box::new(io::Cursor::new(text.as_bytes().to_vec())), columns, 0);
        std::iter::from_fn(|| rows.next()).map(|row| row.unwrap().1).collect()
    }

    #[test]
    fn dots_reach_into_objects_and_a_key_with_dots_comes_first() {
        let rows = read(
            "{\"user\":{\"id\":7,\"plan\":{\"name\":\"pro\"}},\"name\":\"buy\",\"at\":1700000000,\"cart\":[1]}\n\n\
             {\"user.id\":\"ann\",\"user\":{\"id\":\"bob\"},\"name\":\"buy\",\"at\":\"2024-05-01\",\"cart\":null}",
        );
        let first = rows[0].as_ref().unwrap();
        assert_eq!((first.visitor.as_str(), first.time.as_str()), ("7", "1700000000"));
        assert_eq!(first.properties, [("plan".into(), Json::of_text("pro")), ("cart".into(), json("[1]"))]);
        let second = rows[1].as_ref().unwrap();
        assert_eq!((second.visitor.as_str(), second.properties.len()), ("ann", 0));
    }

    fn json(text: &str) -> Json {
        serde_json::from_str::<Box<RawValue>>(text).unwrap().as_ref().into()
    }

    #[test]
    fn a_number_keeps_its_own_digits_as_it_does_over_http() {
        for number in ["1234567890.1700000001", "18446744073709551617", "-0", "1e3", "1.50", "7E+2"] {
            let rows = read(&format!(
                "{{\"user\":{{\"id\":{number}}},\"name\":\"x\",\"at\":1700000000,\"cart\":[{number}, {{\"a\":{number}}}]}}"
            ));
            let row = rows[0].as_ref().unwrap();
            assert_eq!(row.visitor, number);
            assert_eq!(row.properties, [("cart".into(), json(&format!("[{number}, {{\"a\":{number}}}]")))]);
        }
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_counts_and_escapes_are_read() {
        let rows =
            read("{\"user\":{\"id\":1,\"\\u0069d\":\"a\\u006e\\n\"},\"name\":\"x\",\"at\":1,\"at\":2}");
        let row = rows[0].as_ref().unwrap();
        assert_eq!((row.visitor.as_str(), row.time.as_str()), ("an\n", "2"));
        let half = read("{\"user\":{\"id\":\"\\ud800\"},\"name\":\"x\",\"at\":1}");
        assert!(half[0].as_ref().unwrap_err().starts_with("user.id is no text"), "{half:?}");
    }

    #[test]
    fn a_broken_line_is_told_and_the_next_one_is_read() {
        let rows =
            read("{\"name\":\n[1]\n{\"name\":{}}\n{\"user\":{\"id\":\"a\"},\"name\":\"x\",\"at\":1}\n");
        assert!(rows[0].as_ref().unwrap_err().starts_with("is not JSON"), "{rows:?}");
        assert_eq!(rows[1], Err("is not a JSON object".to_owned()));
        assert_eq!(rows[2], Err("name is neither text nor a number".to_owned()));
        assert!(rows[3].is_ok());
    }
}
