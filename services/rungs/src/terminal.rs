//! Texts of others on their way to a terminal: names, ids and values that anyone with a site's public key may send. What is
//! printed of them shows what they hold and makes a terminal do nothing.

/// The text on one line, without characters that would make a terminal do something or show letters in another order.
pub(crate) fn on_one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || is_invisible(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Separators of lines and what turns the direction of writing.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_and_not_carried_out() {
        let hostile = "a\u{1b}[2J\u{9b}31m\nb\u{202e}c\u{7f} ü–😀";
        assert_eq!(on_one_line(hostile), "a\\u{1b}[2J\\u{9b}31m\\nb\\u{202e}c\\u{7f} ü–😀");
    }
}
