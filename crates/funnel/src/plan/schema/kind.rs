//! The type of a JSON value, from the text in which it is written. Only [`super::check`] calls it.

use super::PropertyType;

/// So many digits, or a sign and digits, are a whole number that needs no reading.
const FEW_DIGITS: usize = 18;

/// The type; `null` has none. `None` where the text is no value, or a number that no `f64` holds.
#[inline]
pub(super) fn kind_of(value: &str) -> Option<Option<PropertyType>> {
    let kind = match value.as_bytes().first()? {
        b'"' => PropertyType::String,
        b'{' => PropertyType::Object,
        b'[' => PropertyType::Array,
        b't' | b'f' => PropertyType::Boolean,
        b'n' => return Some(None),
        _ => number(value)?,
    };
    Some(Some(kind))
}

fn number(value: &str) -> Option<PropertyType> {
    if value.len() <= FEW_DIGITS && value.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        return Some(PropertyType::Integer);
    }
    let number: f64 = value.parse().ok()?;
    let is_whole = number.fract() == 0.0;
    number.is_finite().then_some(if is_whole { PropertyType::Integer } else { PropertyType::Number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    proptest! {
        #[test]
        fn a_number_is_an_integer_where_serde_json_reads_it_without_a_fraction(
            number in r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20}|\.0)?([eE][+-]?[0-9]{1,3})?",
        ) {
            let read = serde_json::from_str::<Value>(&number).ok().and_then(|number| number.as_f64());
            let expected = read.map(|number| match number.fract() == 0.0 {
                true => Some(PropertyType::Integer),
                false => Some(PropertyType::Number),
            });
            prop_assert_eq!(kind_of(&number), expected);
        }
    }

    #[test]
    fn every_other_value_is_told_by_how_it_begins() {
        let told = [r#""1""#, "{}", "[1]", "true", "false"].map(|value| kind_of(value).flatten());
        let [string, object, array] = [PropertyType::String, PropertyType::Object, PropertyType::Array];
        assert_eq!(told, [string, object, array, PropertyType::Boolean, PropertyType::Boolean].map(Some));
        assert_eq!(kind_of("null"), Some(None));
        assert!(
            ["", "x", "inf", "NaN", "1e999", &"9".repeat(400)]
                .into_iter()
                .all(|text| kind_of(text).is_none())
        );
    }
}
