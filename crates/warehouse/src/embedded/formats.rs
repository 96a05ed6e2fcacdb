//! Output formats: media type, and whether a streamed result can be put together from blocks.
//!
//! The engine formats every block of a streamed SELECT by itself. For row-by-row formats the blocks simply follow each
//! other; for formats that begin with names and types the repeated header is cut off every block but the first
//! ([`HeaderOnce`]); for the rest (JSON, Parquet, Pretty, …) the result has to be made in one piece.

/// How the blocks of a streamed result become one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    /// Blocks follow each other.
    Plain,
    /// Every block begins with the same header.
    Header(Header),
    /// Blocks cannot be joined.
    Whole,
}

/// The header a block begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// So many lines of text.
    Lines(usize),
    /// A varint count, then that many length-prefixed strings, so many times over (names; names and types).
    Binary(usize),
}

/// How blocks in `format` are joined.
pub(super) fn joining(format: &str) -> Joining {
    match format {
        "TabSeparated" | "TSV" | "TabSeparatedRaw" | "TSVRaw" | "CSV" | "JSONEachRow" | "JSONLines"
        | "NDJSON" | "JSONCompactEachRow" | "JSONStringsEachRow" | "RowBinary" | "Native"
        | "LineAsString" | "RawBLOB" | "TSKV" | "MsgPack" | "Null" => Joining::Plain,
        "RowBinaryWithNames" => Joining::Header(Header::Binary(1)),
        "RowBinaryWithNamesAndTypes" => Joining::Header(Header::Binary(2)),
        "TabSeparatedWithNames" | "TSVWithNames" | "TSVRawWithNames" | "JSONCompactEachRowWithNames" => {
            Joining::Header(Header::Lines(1))
        }
        "TabSeparatedWithNamesAndTypes" | "TSVWithNamesAndTypes" | "JSONCompactEachRowWithNamesAndTypes" => {
            Joining::Header(Header::Lines(2))
        }
        _ => Joining::Whole,
    }
}

/// The `Content-Type` ClickHouse sends for `format`.
pub(super) fn media_type(format: &str) -> &'static str {
    match format {
        "JSON" | "JSONCompact" | "JSONStrings" | "JSONColumns" | "JSONObjectEachRow" => {
            "application/json; charset=UTF-8"
        }
        name if name.ends_with("EachRow") || name == "NDJSON" || name == "JSONLines" => {
            "application/x-ndjson; charset=UTF-8"
        }
        name if name.starts_with("CSV") => "text/csv; charset=UTF-8",
        name if name.starts_with("TabSeparated") || name.starts_with("TSV") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "XML" => "application/xml; charset=UTF-8",
        "RowBinary"
        | "RowBinaryWithNames"
        | "RowBinaryWithNamesAndTypes"
        | "Native"
        | "Parquet"
        | "Arrow"
        | "ArrowStream"
        | "ORC"
        | "MsgPack" => "application/octet-stream",
        _ => "text/plain; charset=UTF-8",
    }
}

/// Cuts the header off every block but the first.
#[derive(Debug, Default)]
pub(super) struct HeaderOnce {
    header: Option<Vec<u8>>,
}

impl HeaderOnce {
    /// The part of `block` that belongs in the result.
    pub(super) fn keep<'a>(&mut self, joining: Joining, block: &'a [u8]) -> &'a [u8] {
        let Joining::Header(shape) = joining else { return block };
        match &self.header {
            Some(header) => block.strip_prefix(header.as_slice()).unwrap_or(block),
            None => {
                let length = header_length(shape, block).unwrap_or(0);
                self.header = block.get(..length).map(<[u8]>::to_vec);
                block
            }
        }
    }
}

fn header_length(shape: Header, block: &[u8]) -> Option<usize> {
    match shape {
        // Names hold no raw line end in these formats: they are escaped.
        Header::Lines(count) => {
            let ends = block.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            ends.map(|(at, _)| at + 1).nth(count.checked_sub(1)?)
        }
        Header::Binary(lists) => {
            let (columns, mut at) = varint(block, 0)?;
            for _ in 0..columns.checked_mul(lists)? {
                let (length, text) = varint(block, at)?;
                at = text.checked_add(length)?;
            }
            (at <= block.len()).then_some(at)
        }
    }
}

/// A LEB128 number at `at` and where it ends.
fn varint(block: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let (mut value, mut shift) = (0_usize, 0_u32);
    loop {
        let byte = *block.get(at)?;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        at += 1;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_header_is_sent_once() {
        let mut once = HeaderOnce::default();
        let joining = joining("TSVWithNamesAndTypes");
        assert_eq!(once.keep(joining, b"a\nUInt8\n1\n"), b"a\nUInt8\n1\n");
        assert_eq!(once.keep(joining, b"a\nUInt8\n2\n"), b"2\n");
    }

    #[test]
    fn a_binary_header_is_measured_by_its_strings() {
        let block = b"\x01\x01a\x06UInt64\x00\x00\x00\x00\x00\x00\x00\x00";
        assert_eq!(header_length(Header::Binary(2), block), Some(10));
        assert_eq!(header_length(Header::Binary(2), &block[..5]), None);
    }

    #[test]
    fn csv_with_names_is_made_whole_because_its_names_may_hold_line_ends() {
        assert_eq!(joining("CSVWithNames"), Joining::Whole);
    }
}
