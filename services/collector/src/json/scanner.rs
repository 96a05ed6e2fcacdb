//! The scan itself: strict JSON (RFC 8259) in one pass, without recursion and without allocation (up to 64 levels).
//!
//! Accepts exactly what `serde_json` accepts as a `Value`, apart from [`Flaw`]s, which are noted and passed over; a
//! property test holds the two together.

use super::levels::Levels;
use super::{Flaw, SyntaxError, Text, Value};
use crate::limits::MAX_NESTING;

type Scan<T> = Result<T, SyntaxError>;

/// A place in a text and the first flaw met since it was last asked for.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    flaw: Option<Flaw>,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, flaw: None }
    }

    /// Where the scan stands, in bytes.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The text from a position to where the scan stands.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The first flaw since the last call.
    pub(crate) fn take_flaw(&mut self) -> Option<Flaw> {
        self.flaw.take()
    }

    /// The next byte that is not white space, without taking it.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at).copied() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes white space up to the end of the text.
    pub(crate) fn end(&mut self) -> Scan<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.error("the end of the text"),
        }
    }

    /// Takes one value of any kind.
    #[inline]
    pub(crate) fn value(&mut self) -> Scan<Value<'a>> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'{') => self.composite().map(Value::Object),
            Some(b'[') => self.composite().map(Value::Array),
            Some(b't') => self.literal(b"true").map(|()| Value::Bool(true)),
            Some(b'f') => self.literal(b"false").map(|()| Value::Bool(false)),
            Some(b'n') => self.literal(b"null").map(|()| Value::Null),
            _ => self.number().map(Value::Number),
        }
    }

    /// As [`value`](Self::value), but quick where the text goes on with `known`, an object that was taken before and
    /// had no flaw.
    #[inline]
    pub(crate) fn value_or_known(&mut self, known: &str) -> Scan<Value<'a>> {
        self.peek();
        let start = self.at;
        let is_known = !known.is_empty()
            && self.bytes.get(start..).is_some_and(|rest| rest.starts_with(known.as_bytes()));
        if !is_known {
            return self.value();
        }
        self.at += known.len();
        Ok(Value::Object(self.slice(start, self.at)))
    }

    /// Takes an object; `field` gets each key and must take its value.
    #[inline]
    pub(crate) fn object(&mut self, mut field: impl FnMut(&mut Self, Text<'a>) -> Scan<()>) -> Scan<()> {
        self.expect(b'{', "`{`")?;
        if self.take_if(b'}') {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            field(self, key)?;
            if !self.take_if(b',') {
                return self.expect(b'}', "`,` or `}`");
            }
        }
    }

    /// Takes an array; `element` must take each element.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Scan<()>) -> Scan<()> {
        self.expect(b'[', "`[`")?;
        if self.take_if(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.take_if(b',') {
                return self.expect(b']', "`,` or `]`");
            }
        }
    }

    fn error<T>(&self, expected: &'static str) -> Scan<T> {
        Err(SyntaxError { expected, at: self.at })
    }

    fn note(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }

    #[inline(always)]
    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    #[inline(always)]
    fn take_if(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    fn expect(&mut self, wanted: u8, name: &'static str) -> Scan<()> {
        if self.take_if(wanted) { Ok(()) } else { self.error(name) }
    }

    #[inline(always)]
    fn key(&mut self) -> Scan<Text<'a>> {
        if self.peek() != Some(b'"') {
            return self.error("a field's name");
        }
        let key = self.string()?;
        self.expect(b':', "`:`")?;
        Ok(key)
    }

    /// An object or array with all that is in it.
    fn composite(&mut self) -> Scan<&'a str> {
        let start = self.at;
        let mut open = Levels::default();
        loop {
            let opened = self.open_or_scalar(&mut open)?;
            if !opened && !self.close_or_next(&mut open)? {
                return Ok(self.slice(start, self.at));
            }
        }
    }

    /// At a value: opens a composite (true) or takes a scalar or an empty composite (false).
    fn open_or_scalar(&mut self, open: &mut Levels) -> Scan<bool> {
        let (object, closing) = match self.peek() {
            Some(b'{') => (true, b'}'),
            Some(b'[') => (false, b']'),
            Some(b'"') => return self.string().map(|_| false),
            Some(b't') => return self.literal(b"true").map(|()| false),
            Some(b'f') => return self.literal(b"false").map(|()| false),
            Some(b'n') => return self.literal(b"null").map(|()| false),
            _ => return self.number().map(|_| false),
        };
        self.at += 1;
        open.push(object);
        if open.depth() > MAX_NESTING {
            self.note(Flaw::TooDeep);
        }
        if self.take_if(closing) {
            open.pop();
            return Ok(false);
        }
        if object {
            self.key()?;
        }
        Ok(true)
    }

    /// After a value: closes what ends here and goes to the next value (true), or says that all is closed (false).
    fn close_or_next(&mut self, open: &mut Levels) -> Scan<bool> {
        while open.depth() > 0 {
            let object = open.in_object();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if object {
                        self.key()?;
                    }
                    return Ok(true);
                }
                Some(b'}') if object => self.at += 1,
                Some(b']') if !object => self.at += 1,
                _ => return self.error(if object { "`,` or `}`" } else { "`,` or `]`" }),
            }
            open.pop();
        }
        Ok(false)
    }

    #[inline]
    fn literal(&mut self, word: &'static [u8]) -> Scan<()> {
        match self.bytes.get(self.at..self.at + word.len()) {
            Some(found) if found == word => {
                self.at += word.len();
                Ok(())
            }
            _ => self.error("a value"),
        }
    }

    /// A string, standing at its opening quote.
    #[inline(always)]
    fn string(&mut self) -> Scan<Text<'a>> {
        self.at += 1;
        let start = self.at;
        self.plain();
        if self.bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(Text { raw: self.slice(start, self.at - 1), escaped: false });
        }
        self.escaped_string(start)
    }

    /// The rest of a string that is more than plain characters up to its quote.
    #[inline(never)]
    fn escaped_string(&mut self, start: usize) -> Scan<Text<'a>> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text { raw: self.slice(start, self.at - 1), escaped: true });
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.error("an escape for the control character"),
                None => return self.error("the string's closing quote"),
            }
            self.plain();
        }
    }

    /// Takes characters that stand for themselves.
    #[inline]
    fn plain(&mut self) {
        self.at += plain_prefix(self.bytes.get(self.at..).unwrap_or_default());
    }

    /// An escape sequence, standing at its backslash.
    fn escape(&mut self) -> Scan<()> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => self.unicode_escape(),
            _ => self.error("an escape sequence"),
        }
    }

    fn unicode_escape(&mut self) -> Scan<()> {
        let unit = self.code_unit()?;
        match unit {
            0 => self.note(Flaw::Nul),
            0xd800..=0xdbff => {
                let pair_follows = self.bytes.get(self.at..self.at + 2) == Some(b"\\u");
                if !pair_follows || !matches!(self.code_unit()?, 0xdc00..=0xdfff) {
                    self.note(Flaw::LoneSurrogate);
                }
            }
            0xdc00..=0xdfff => self.note(Flaw::LoneSurrogate),
            _ => {}
        }
        Ok(())
    }

    /// `\uXXXX`
    fn code_unit(&mut self) -> Scan<u32> {
        let digits = self.bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
        let mut unit = 0;
        for byte in digits {
            let Some(digit) = char::from(*byte).to_digit(16) else { return self.error("four hex digits") };
            unit = unit * 16 + digit;
        }
        if digits.len() < 4 {
            return self.error("four hex digits");
        }
        self.at += 6;
        Ok(unit)
    }

    #[inline]
    fn number(&mut self) -> Scan<&'a str> {
        let start = self.at;
        self.at += usize::from(self.bytes.get(self.at) == Some(&b'-'));
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => {
                self.at = start;
                return self.error("a value");
            }
        }
        let mut exponent = false;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            exponent = true;
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.some_digits()?;
        }
        let number = self.slice(start, self.at);
        if (exponent || number.len() > 300) && !number.parse().is_ok_and(f64::is_finite) {
            self.note(Flaw::NumberBeyondF64);
        }
        Ok(number)
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Scan<()> {
        let start = self.at;
        self.digits();
        if self.at == start { self.error("a digit") } else { Ok(()) }
    }
}

/// How many bytes come before the first quote, backslash or control character. Eight bytes at a time: event names and
/// ids are that short, so that a vector search would spend longer on its start than on the bytes.
#[inline(always)]
pub(super) fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let zero_byte = |x: u64| x.wrapping_sub(ONES) & !x;
        let quote = zero_byte(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_byte(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let hits = (quote | backslash | control) & HIGH;
        if hits != 0 {
            // A borrow can only mark bytes above the first hit: the lowest mark is right.
            return bytes.len() - rest.len() + (hits.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    let plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    bytes.len() - rest.len() + rest.iter().take_while(plain).count()
}

#[cfg(test)]
mod tests;
