//! Listed texts that are numbers (`in = ["1e21"]`): numbers of events have one text however they are written, which need not be
//! how the plan writes it. Filters and breakdowns ask here whether a number is one that the plan lists otherwise. Mostly
//! nothing is, and then it costs nothing.

use serde_json::Number;

use checked_toml::number_text;

/// Numbers that are listed in another way than their text.
#[derive(Debug, Clone, Default)]
pub(super) struct ListedNumbers {
    /// The number's text, and how it is listed.
    numbers: Vec<(String, String)>,
}

impl ListedNumbers {
    /// Of several ways in which a number is listed its own text counts, else the first.
    pub(super) fn of(listed: &[String]) -> Self {
        let mut numbers: Vec<(String, String)> = Vec::new();
        for text in listed {
            let Some(number) = text_of_number(text) else { continue };
            if !listed.contains(&number) && numbers.iter().all(|(known, _)| *known != number) {
                numbers.push((number, text.clone()));
            }
        }
        Self { numbers }
    }

    /// How a number with this text is listed, if otherwise.
    pub(super) fn as_listed(&self, text: &str) -> Option<&str> {
        self.numbers.iter().find(|(number, _)| number == text).map(|(_, listed)| listed.as_str())
    }
}

/// The number's text, of a text that JSON would read as a number.
pub(super) fn text_of_number(text: &str) -> Option<String> {
    let is_number = !text.contains(char::is_whitespace) && serde_json::from_str::<Number>(text).is_ok();
    if is_number { number_text::of_written(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_that_are_listed_otherwise_are_kept() {
        let listed = ["pro", "1e21", "1e+21", "1.0", "1", "007", "2", " 3.0", "true"].map(str::to_owned);
        let numbers = ListedNumbers::of(&listed);
        assert_eq!(numbers.as_listed("1000000000000000000000"), Some("1e21"));
        for text in ["1", "7", "2", "3", "pro"] {
            assert_eq!(numbers.as_listed(text), None, "{text}");
        }
        assert_eq!(numbers.numbers.len(), 1);
    }
}
