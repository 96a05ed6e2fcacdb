//! The members of a JSON object whose text was checked before, as the collector checks all that it takes: values are passed
//! over, not read, and nothing is allocated but for a name with an escape in it. Only [`super::check`] calls it, for every
//! event of a site that has a schema: hence what is inlined here. Text that is no JSON may come to anything but a panic.

use std::borrow::Cow;

/// Calls `take` with the name of each member and its value as it is written. `None` as soon as the text cannot be read, or
/// `take` says so.
#[inline(always)]
pub(super) fn members(object: &str, mut take: impl FnMut(&str, &str) -> Option<()>) -> Option<()> {
    let mut reader = Reader { text: object, at: 0 };
    reader.expect(b'{')?;
    if !reader.take_if(b'}') {
        loop {
            let name = reader.name()?;
            reader.expect(b':')?;
            take(&name, reader.value()?)?;
            if !reader.take_if(b',') {
                break reader.expect(b'}')?;
            }
        }
    }
    reader.peek().is_none().then_some(())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    #[inline(always)]
    fn take_if(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.take_if(wanted).then_some(())
    }

    #[inline(always)]
    fn name(&mut self) -> Option<Cow<'a, str>> {
        self.peek().filter(|first| *first == b'"')?;
        let start = self.at;
        let is_escaped = self.string()?;
        if is_escaped {
            return unescaped(self.text.get(start..self.at)?).map(Cow::Owned);
        }
        self.text.get(start + 1..self.at - 1).map(Cow::Borrowed)
    }

    #[inline(always)]
    fn value(&mut self) -> Option<&'a str> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => drop(self.string()?),
            b'{' | b'[' => self.at = composite_end(self.text, start)?,
            _ => self.word(),
        }
        self.text.get(start..self.at)
    }

    /// Passes over a string, and tells whether something in it is escaped.
    #[inline(always)]
    fn string(&mut self) -> Option<bool> {
        let mut is_escaped = false;
        self.at += 1;
        loop {
            self.at += plain_prefix(self.text.as_bytes().get(self.at..)?);
            if self.byte()? == b'"' {
                self.at += 1;
                return Some(is_escaped);
            }
            // A backslash and what it escapes; the digits of a code unit are plain.
            self.at += 2;
            is_escaped = true;
        }
    }

    /// Passes over a number, `true`, `false` or `null`.
    #[inline(always)]
    fn word(&mut self) {
        while !matches!(self.byte(), None | Some(b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}

/// Where the object or array ends that begins at `start`.
#[inline(never)]
fn composite_end(text: &str, start: usize) -> Option<usize> {
    let mut reader = Reader { text, at: start };
    let mut depth = 0_usize;
    loop {
        match reader.byte()? {
            b'"' => {
                reader.string()?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        reader.at += 1;
        if depth == 0 {
            return Some(reader.at);
        }
    }
}

#[cold]
fn unescaped(quoted: &str) -> Option<String> {
    serde_json::from_str(quoted).ok()
}

/// How many bytes come before the first quote or backslash. Eight at a time: names are that short, so that a vector search
/// would spend longer on its start than on the bytes.
#[inline(always)]
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let marks_of = |byte: u8| {
            let zero_where_found = word ^ (ONES * u64::from(byte));
            zero_where_found.wrapping_sub(ONES) & !zero_where_found
        };
        let marks = (marks_of(b'"') | marks_of(b'\\')) & HIGH;
        if marks != 0 {
            // A borrow can only mark bytes above the first hit: the lowest mark is right.
            return bytes.len() - rest.len() + (marks.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    bytes.len() - rest.len() + rest.iter().take_while(|byte| !matches!(**byte, b'"' | b'\\')).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    /// The last value of each name.
    fn read(object: &str) -> Option<Map<String, Value>> {
        let mut found = Map::new();
        members(object, |name, value| {
            found.insert(name.to_owned(), serde_json::from_str(value).unwrap());
            Some(())
        })?;
        Some(found)
    }

    fn string() -> impl Strategy<Value = String> {
        // Plain characters, what elsewhere would end a value, escapes, a surrogate pair.
        let any = r#""([^"\\\x00-\x1f]|[a-z{}:,]|\\["\\/bfnrt]|\\u[0-9a-cA-C][0-9a-fA-F]{3}|\\ud83d\\uDE00){0,12}""#;
        prop_oneof![any, "\"[a-z]{0,40}\""]
    }

    fn name() -> impl Strategy<Value = String> {
        let again = prop::sample::select(vec![r#""a""#, r#""\u0061""#, r#""""#]);
        prop_oneof![string(), again.prop_map(str::to_owned)]
    }

    fn spaced(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        ("[ \n\r\t]{0,2}", inner, "[ \n\r\t]{0,2}")
            .prop_map(|(before, inner, after)| [before, inner, after].concat())
    }

    fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        let member = (spaced(name()), spaced(value)).prop_map(|(name, value)| format!("{name}:{value}"));
        vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")))
    }

    fn value() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec!["true", "false", "null", "{ }", "[\n]"]).prop_map(str::to_owned);
        let number = r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?";
        prop_oneof![word, number, string()].prop_recursive(4, 24, 4, |inner| {
            let array =
                vec(spaced(inner.clone()), 0..4).prop_map(|elements| format!("[{}]", elements.join(",")));
            prop_oneof![array, object(inner)]
        })
    }

    proptest! {
        #[test]
        fn members_are_those_that_serde_json_reads(object in spaced(object(value()))) {
            prop_assert_eq!(read(&object), Some(serde_json::from_str(&object).unwrap()), "{}", object);
        }

        #[test]
        fn whatever_the_text_is_nothing_panics(text in r#"\{?["\\{}\[\]:, un0-9aé😀-]{0,40}"#) {
            let _ = members(&text, |name, value| {
                let _ = (name.len(), super::super::kind::kind_of(value));
                Some(())
            });
        }

        #[test]
        fn a_text_that_is_cut_off_is_not_read(object in object(value()), cut in any::<prop::sample::Index>()) {
            let mut cut = cut.index(object.len());
            while !object.is_char_boundary(cut) {
                cut -= 1;
            }
            let read = members(&object[..cut], |_, _| Some(()));
            prop_assert_eq!(read, None, "{} of {}", cut, object);
        }
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["", "null", "[1]", "{} {}", r#"{"a"}"#, r#"{"a":1 2}"#, r#"{a:1}"#, r#"{"\ud800":1}"#] {
            assert_eq!(members(text, |_, _| Some(())), None, "{text}");
        }
    }
}
