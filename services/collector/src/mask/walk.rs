//! Walks along a text, no further than what is looked for may be long: where every third byte looks like the beginning
//! of something, the rest must not be read again for each. Called by the searches beside it; tests count what they read.

/// Bytes from the text's start on whose characters are all parts: `max` at most.
pub(super) fn ahead(text: &str, max: usize, is_part: impl Fn(char) -> bool) -> usize {
    length(text.chars(), max, is_part)
}

/// As [`ahead`], from the text's end back.
pub(super) fn back(text: &str, max: usize, is_part: impl Fn(char) -> bool) -> usize {
    length(text.chars().rev(), max, is_part)
}

fn length(letters: impl Iterator<Item = char>, max: usize, is_part: impl Fn(char) -> bool) -> usize {
    let mut bytes = 0;
    for letter in letters {
        let longer = bytes + letter.len_utf8();
        if longer > max || !is_part(letter) {
            break;
        }
        bytes = longer;
    }
    read(bytes + 1);
    bytes
}

/// Whether an encoded byte of a URL (`%3D`) ends before this place: its last digit is no part of what follows.
pub(super) fn is_after_encoded(text: &str, at: usize) -> bool {
    at.checked_sub(3).and_then(|at| text.as_bytes().get(at)) == Some(&b'%')
}

/// Tells the tests that so many bytes were looked at.
#[cfg_attr(not(test), expect(unused_variables, reason = "only tests count"))]
pub(super) fn read(bytes: usize) {
    #[cfg(test)]
    READ.with(|read| read.set(read.get() + bytes));
}

#[cfg(test)]
thread_local! {
    /// Bytes that this thread has looked at.
    pub(super) static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
