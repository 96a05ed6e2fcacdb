//! `where` at work: whether an event's property is what a step asks for.

use super::listed::ListedNumbers;
use super::lookup::{EventFields, PropertyName};
use super::{Condition, Filter};

/// A filter prepared for many events.
#[derive(Debug, Clone)]
pub(super) struct CompiledFilter {
    property: PropertyName,
    condition: Condition,
    numbers: ListedNumbers,
}

impl CompiledFilter {
    pub(super) fn new(filter: &Filter) -> Self {
        let numbers = match &filter.condition {
            Condition::In(values) => ListedNumbers::of(values),
            _ => ListedNumbers::default(),
        };
        Self { property: PropertyName::new(&filter.property), condition: filter.condition.clone(), numbers }
    }

    /// An absent property fulfils nothing but `exists = false`.
    pub(super) fn passes(&self, fields: &EventFields<'_>) -> bool {
        match self.property.look_up(fields) {
            Some(value) => {
                self.condition.holds_for(&value.text)
                    || value.is_number && self.numbers.as_listed(&value.text).is_some()
            }
            None => matches!(self.condition, Condition::Exists(false)),
        }
    }
}

impl Condition {
    /// Whether a value that is present fulfils it; a number that is listed otherwise than as its text is known to filters.
    pub fn holds_for(&self, value: &str) -> bool {
        match self {
            Self::In(values) => values.iter().any(|listed| listed == value),
            Self::Range { min, max } => number(value).is_some_and(|number| {
                min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)
            }),
            Self::Matches(regex) => regex.is_match(value),
            Self::Exists(exists) => *exists,
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(condition: Condition, properties: &str) -> bool {
        let filter = Filter { property: "x".into(), condition };
        CompiledFilter::new(&filter).passes(&EventFields { properties, ..EventFields::default() })
    }

    #[test]
    fn listed_values_are_compared_as_text() {
        let listed = || Condition::In(vec!["pro".into(), "2".into(), "true".into()]);
        assert!(
            passes(listed(), r#"{"x":"pro"}"#)
                && passes(listed(), r#"{"x":2}"#)
                && passes(listed(), r#"{"x":true}"#)
        );
        assert!(
            !passes(listed(), r#"{"x":"Pro"}"#)
                && !passes(listed(), r#"{"x":2.5}"#)
                && !passes(listed(), "{}")
        );
    }

    #[test]
    fn a_listed_number_is_matched_however_it_is_written_and_a_text_only_as_it_is() {
        let listed = || Condition::In(vec!["100".into(), "1.0".into(), "1e21".into()]);
        for number in ["100", "100.0", "1e2", "1", "1.00", "1E+21", "1000000000000000000000"] {
            assert!(passes(listed(), &format!("{{\"x\":{number}}}")), "{number}");
        }
        assert!(passes(listed(), r#"{"x":"1.0"}"#) && passes(listed(), r#"{"x":"100"}"#));
        for text in ["1", "100.0", "1000000000000000000000"] {
            assert!(!passes(listed(), &format!("{{\"x\":\"{text}\"}}")), "{text}");
        }
    }

    #[test]
    fn bounds_are_included_and_text_may_be_a_number() {
        let range = |min, max| Condition::Range { min, max };
        assert!(
            passes(range(Some(1.0), Some(2.0)), r#"{"x":1}"#)
                && passes(range(Some(1.0), Some(2.0)), r#"{"x":"2.0"}"#)
        );
        assert!(
            !passes(range(Some(1.0), None), r#"{"x":0.99}"#)
                && !passes(range(None, Some(2.0)), r#"{"x":2.01}"#)
        );
        assert!(
            !passes(range(None, Some(2.0)), r#"{"x":"two"}"#)
                && !passes(range(Some(0.0), None), r#"{"x":"inf"}"#)
        );
        assert!(!passes(range(None, Some(2.0)), "{}"));
    }

    #[test]
    fn an_expression_is_found_anywhere() {
        let regex = || Condition::Matches(regex::Regex::new("check(out)?$").unwrap());
        assert!(passes(regex(), r#"{"x":"/checkout"}"#));
        assert!(!passes(regex(), r#"{"x":"/checkout/2"}"#) && !passes(regex(), ""));
    }

    #[test]
    fn exists_asks_for_a_value() {
        assert!(
            passes(Condition::Exists(true), r#"{"x":false}"#)
                && !passes(Condition::Exists(true), r#"{"x":""}"#)
        );
        assert!(
            passes(Condition::Exists(false), r#"{"x":null}"#)
                && !passes(Condition::Exists(false), r#"{"x":0}"#)
        );
    }
}
