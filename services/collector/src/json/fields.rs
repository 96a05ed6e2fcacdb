//! Single fields of an object, and the elements of an array, of a text that was scanned before.

use super::{Scanner, Value};

/// The values of these fields; `Null` where there is none, the last where there are several. `object` is checked JSON.
pub(crate) fn fields<'a, const N: usize>(object: &'a str, names: [&str; N]) -> [Value<'a>; N] {
    let mut found = [Value::Null; N];
    let _ = Scanner::new(object).object(|scanner, key| {
        let value = scanner.value()?;
        let key = key.decode();
        if let Some((_, place)) = names.iter().zip(&mut found).find(|(name, _)| **name == key) {
            *place = value;
        }
        Ok(())
    });
    found
}

/// Calls `take` with each element. `array` is checked JSON.
pub(crate) fn elements<'a>(array: &'a str, mut take: impl FnMut(Value<'a>)) {
    let _ = Scanner::new(array).array(|scanner| {
        take(scanner.value()?);
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_decoded_names_and_the_last_counts() {
        let [a, b, c] = fields(r#"{"a":1,"b":{"a":2},"\u0061":[3]}"#, ["a", "b", "c"]);
        assert_eq!((a, b, c), (Value::Array("[3]"), Value::Object(r#"{"a":2}"#), Value::Null));
        let mut found = Vec::new();
        elements("[1, {}]", |value| found.push(value));
        assert_eq!(found, [Value::Number("1"), Value::Object("{}")]);
    }
}
