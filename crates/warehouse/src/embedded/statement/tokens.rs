//! Cuts SQL into words, quoted texts and symbols, with the depth of parentheses around each. Comments are skipped.
//!
//! It never fails: an unclosed quote or comment simply ends the tokens, and the engine reports it.

/// One piece of SQL: a word, number or quoted text (`symbol` is none), or a single other character.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) text: &'a [u8],
    pub(super) start: usize,
    pub(super) end: usize,
    /// Parentheses open before it; an opening and its closing parenthesis have the same depth.
    pub(super) depth: usize,
    pub(super) symbol: Option<u8>,
}

impl Token<'_> {
    /// Is it this keyword, in any case? Quoted texts never are, because their quotes are part of them.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.text.eq_ignore_ascii_case(keyword.as_bytes())
    }
}

/// The tokens of `text`, in order.
pub(super) fn tokens(text: &[u8]) -> impl Iterator<Item = Token<'_>> {
    let (mut at, mut open) = (0, 0_usize);
    std::iter::from_fn(move || {
        let start = skip_blank_and_comments(text, at);
        let first = *text.get(start)?;
        let end = end_of_token(text, start, first)?;
        at = end;
        if first == b')' {
            open = open.saturating_sub(1);
        }
        let symbol = (!is_word(first) && !is_quote(first)).then_some(first);
        let token = Token { text: text.get(start..end)?, start, end, depth: open, symbol };
        if first == b'(' {
            open += 1;
        }
        Some(token)
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'`')
}

fn skip_blank_and_comments(text: &[u8], mut at: usize) -> usize {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let length = match rest {
            [byte, ..] if byte.is_ascii_whitespace() => 1,
            [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => line_length(rest),
            [b'/', b'*', inner @ ..] => 2 + comment_length(inner),
            _ => return at,
        };
        at += length;
    }
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn comment_length(inner: &[u8]) -> usize {
    inner.windows(2).position(|pair| pair == b"*/").map_or(inner.len(), |at| at + 2)
}

fn end_of_token(text: &[u8], start: usize, first: u8) -> Option<usize> {
    let rest = text.get(start..)?;
    if is_word(first) {
        return Some(start + rest.iter().take_while(|byte| is_word(**byte)).count());
    }
    if is_quote(first) {
        return Some(start + quoted_length(rest, first)?);
    }
    Some(start + 1)
}

/// Length up to and with the closing quote; a backslash escapes, a doubled quote simply starts the next token.
fn quoted_length(rest: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match *rest.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, usize)> {
        tokens(text.as_bytes())
            .map(|token| (String::from_utf8_lossy(token.text).into_owned(), token.depth))
            .collect()
    }

    #[test]
    fn words_quotes_and_depths_are_told_apart() {
        let expected = [("f", 0), ("(", 0), ("'a)\\''", 1), (")", 0), ("b", 0)];
        assert_eq!(
            words("f('a)\\'') /* ( */ b -- x"),
            expected.map(|(text, depth)| (text.to_owned(), depth))
        );
    }

    #[test]
    fn an_unclosed_quote_ends_the_tokens() {
        assert_eq!(words("a 'b"), [("a".to_owned(), 0)]);
    }
}
