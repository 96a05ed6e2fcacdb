//! Rows of a CSV file (RFC 4180; comma, semicolon or tab, whichever the first line has most of). Its first line names the
//! columns. A row with too few or too many fields is told as such and does not shift the ones after it.

use std::io::{self, BufRead};

use csv::{Reader, ReaderBuilder, StringRecord};

use super::columns::Columns;
use super::rows::{Json, PlacedRow, ReadRow, Row};

/// Reads rows.
pub(super) struct CsvRows {
    reader: Reader<Box<dyn BufRead + Send>>,
    places: Places,
    columns: usize,
    record: StringRecord,
    /// What the reader's own count of lines lacks.
    skipped_lines: u64,
}

/// Where in a record the columns stand.
struct Places {
    visitor: usize,
    event: usize,
    time: usize,
    properties: Vec<(String, usize)>,
}

impl CsvRows {
    /// Reads the first line.
    ///
    /// # Errors
    /// When the line cannot be read, or lacks a column: says which columns there are.
    pub(super) fn new(
        mut input: Box<dyn BufRead + Send>,
        columns: &Columns,
        skipped_lines: u64,
    ) -> Result<Self, String> {
        let beginning =
            input.fill_buf().map_err(|error| format!("the first line cannot be read: {error}"))?;
        let first_line = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // Where lines end in \r\n, a record begins before the \n of the line before it, as the reader counts.
        let skipped_lines = skipped_lines + u64::from(first_line.ends_with(b"\r"));
        let delimiter = delimiter(first_line);
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(input);
        let header = header(&mut reader)?;
        let places = Places::find(columns, &header)?;
        Ok(Self { reader, places, columns: header.len(), record: StringRecord::new(), skipped_lines })
    }

    pub(super) fn next(&mut self) -> Option<io::Result<PlacedRow>> {
        let read = match self.reader.read_record(&mut self.record) {
            Ok(true) => self.row(),
            Ok(false) => return None,
            Err(error) => match error.into_kind() {
                csv::ErrorKind::Io(error) => return Some(Err(error)),
                csv::ErrorKind::Utf8 { err, .. } => Err(format!("field {} is not UTF-8", err.field() + 1)),
                other => Err(format!("cannot be read as CSV: {other:?}")),
            },
        };
        // Of empty lines before it, the first.
        let line = self.record.position().map_or(0, csv::Position::line);
        Some(Ok((self.skipped_lines + line, read)))
    }

    fn row(&self) -> ReadRow {
        if self.record.len() != self.columns {
            return Err(format!("has {} fields; the first line names {}", self.record.len(), self.columns));
        }
        let field = |place: usize| self.record.get(place).unwrap_or_default();
        let property = |(name, place): &(String, usize)| match field(*place) {
            "" => None,
            value => Some((name.clone(), Json::of_text(value))),
        };
        Ok(Row {
            visitor: field(self.places.visitor).to_owned(),
            event: field(self.places.event).to_owned(),
            time: field(self.places.time).to_owned(),
            properties: self.places.properties.iter().filter_map(property).collect(),
        })
    }
}

impl Places {
    fn find(columns: &Columns, header: &StringRecord) -> Result<Self, String> {
        let place = |column: &str| header.iter().position(|name| name.trim() == column);
        let missing: Vec<&str> = columns.all().filter(|column| place(column).is_none()).collect();
        if !missing.is_empty() {
            let (missing, there) = (missing.join(", "), header.iter().collect::<Vec<_>>().join(", "));
            return Err(format!("there is no column {missing}; the first line names: {there}"));
        }
        let place = |column: &str| place(column).unwrap_or_default();
        let properties = columns.properties.iter().map(|(name, column)| (name.clone(), place(column)));
        Ok(Self {
            visitor: place(&columns.visitor),
            event: place(&columns.event),
            time: place(&columns.time),
            properties: properties.collect(),
        })
    }
}

fn delimiter(first_line: &[u8]) -> u8 {
    let count = |delimiter: u8| first_line.iter().filter(|byte| **byte == delimiter).count();
    // The last of several maxima is taken: a comma before the others.
    [b'\t', b';', b','].into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

fn header(reader: &mut Reader<Box<dyn BufRead + Send>>) -> Result<StringRecord, String> {
    let mut header = StringRecord::new();
    match reader.read_record(&mut header) {
        Ok(true) => Ok(header),
        Ok(false) => Err("the first line is empty; it should name the columns".to_owned()),
        Err(error) => Err(format!("the first line cannot be read as CSV: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns() -> Columns {
        Columns {
            visitor: "who".into(),
            event: "what".into(),
            time: "when".into(),
            properties: vec![("channel".into(), "ch".into()), ("plan".into(), "plan".into())],
        }
    }

    fn read(bytes: Vec<u8>) -> Result<Vec<ReadRow>, String> {
        Ok(placed(bytes)?.into_iter().map(|(_, row)| row).collect())
    }

    fn placed(bytes: Vec<u8>) -> Result<Vec<PlacedRow>, String> {
        let mut rows = CsvRows::new(Box::new(io::Cursor::new(bytes)), &columns(), 0)?;
        Ok(std::iter::from_fn(|| rows.next()).map(Result::unwrap).collect())
    }

    fn written(delimiter: u8, rows: &[[String; 6]]) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        writer.write_record(["when", "x", "who", "ch", "what", "plan"]).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.into_inner().unwrap()
    }

    proptest! {
        #[test]
        fn every_row_that_can_be_written_is_read_back(
            rows in prop::collection::vec(prop::array::uniform6("[^\u{0}]{0,12}|[\",;\t\n\r]{1,4}"), 0..20),
            delimiter in prop::sample::select(vec![b',', b';', b'\t']),
        ) {
            let property = |name: &str, value: &str| (!value.is_empty()).then(|| (name.to_owned(), Json::of_text(value)));
            let expected: Vec<ReadRow> = rows.iter().map(|[time, _, visitor, channel, event, plan]| Ok(Row {
                visitor: visitor.clone(),
                event: event.clone(),
                time: time.clone(),
                properties: [property("channel", channel), property("plan", plan)].into_iter().flatten().collect(),
            })).collect();
            prop_assert_eq!(read(written(delimiter, &rows)).unwrap(), expected);
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let header = b"when,who,what,ch,plan\n".to_vec();
            let _ = read([header, bytes].concat()).unwrap();
        }
    }

    #[test]
    fn a_row_with_another_number_of_fields_is_told_and_the_next_one_is_read() {
        let rows =
            read(b"when,who,what,ch,plan\n1,ann,a,,\n2,bob\n3,\xff,a,,\n4,cy,a,,pro\n".to_vec()).unwrap();
        assert_eq!(rows[1], Err("has 2 fields; the first line names 5".to_owned()));
        assert_eq!(rows[2], Err("field 2 is not UTF-8".to_owned()));
        assert_eq!(rows[3].as_ref().unwrap().visitor, "cy");
    }

    #[test]
    fn a_row_has_the_line_at_which_an_editor_shows_its_beginning() {
        for end in ["\n", "\r\n"] {
            let lines =
                ["when,who,what,ch,plan", "1,ann,a,,", "2,\"bob", "junior\",a,,", "3", "4,\u{e9},a,,"];
            let text = lines.join(end) + end;
            let found: Vec<u64> = placed(text.into_bytes()).unwrap().iter().map(|(line, _)| *line).collect();
            assert_eq!(found, [2, 3, 5, 6], "{end:?}");
        }
        let broken = placed(b"when,who,what,ch,plan\n1,a,a,,\n2,\xff,a,,\n".to_vec()).unwrap();
        assert_eq!(broken[1].0, 3);
    }

    #[test]
    fn a_missing_column_is_named_with_those_that_are_there() {
        let error = read(b"when,user,what,plan\n".to_vec()).unwrap_err();
        assert_eq!(error, "there is no column who, ch; the first line names: when, user, what, plan");
    }
}
