//! What is printed: a line per figure, with the goal and the ratio to a limit measured in the same run.

use std::fmt;

/// One figure.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figure with its unit.
    pub measured: String,
    /// The goal, if there is one.
    pub goal: String,
    /// Whether it was reached.
    pub reached: Option<bool>,
    /// What else to know.
    pub note: String,
}

impl Row {
    /// A figure without a goal.
    pub fn plain(what: &str, measured: String, note: impl Into<String>) -> Self {
        Self { what: what.into(), measured, goal: String::new(), reached: None, note: note.into() }
    }

    /// A figure with a goal.
    pub fn goal(what: &str, measured: String, goal: &str, reached: bool, note: impl Into<String>) -> Self {
        Self { what: what.into(), measured, goal: goal.into(), reached: Some(reached), note: note.into() }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.reached {
            Some(true) => "ok",
            Some(false) => "SHORT",
            None => "",
        };
        write!(
            formatter,
            "{:<58} {:>16}  {:>14} {:<5}  {}",
            self.what, self.measured, self.goal, mark, self.note
        )
    }
}

/// `1,234,567`.
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.53 M/s`.
pub fn millions(per_second: f64) -> String {
    format!("{:.2} M/s", per_second / 1e6)
}

/// The smallest value that this share of the values does not exceed; infinite without any.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut ascending = values.to_vec();
    ascending.sort_by(f64::total_cmp);
    let rank = (share * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_occurred() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(
            (quantile(&values, 0.5), quantile(&values, 0.99), quantile(&values, 1.0)),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(quantile(&[], 0.99), f64::INFINITY);
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0.0, "0"), (999.0, "999"), (1_000.0, "1,000"), (1_234_567.4, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_row_says_whether_its_goal_was_reached() {
        let row = Row::goal("fold", millions(1.5e6), ">= 2 M/s", false, "");
        assert!(row.to_string().contains("SHORT"));
        assert!(!Row::plain("fold", millions(1.5e6), "").to_string().contains("SHORT"));
    }
}
