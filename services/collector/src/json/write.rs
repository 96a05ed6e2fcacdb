//! Writing the little JSON that the collector composes itself.

use super::scanner::plain_prefix;

/// Appends `text` as a JSON string with its quotes.
pub(crate) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some((plain, byte, after)) = split_at_special(rest) {
        out.push_str(plain);
        rest = after;
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            _ => {
                let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                out.push_str("\\u00");
                out.extend([digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    out.push_str(rest);
    out.push('"');
}

/// The text before and after its first character that JSON escapes, and that character.
fn split_at_special(text: &str) -> Option<(&str, u8, &str)> {
    let at = plain_prefix(text.as_bytes());
    let byte = text.as_bytes().get(at)?;
    Some((text.get(..at)?, *byte, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in "\\PC*|[\\x00-\\x7f]*") {
            let mut out = String::new();
            push_quoted(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
