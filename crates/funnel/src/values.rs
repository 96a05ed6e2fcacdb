//! The breakdown values of a funnel in one partition, each with a small id. Listed values and `other` have theirs from
//! the plan; others get one in the order in which the log brings them, up to
//! [`MAX_UNLISTED_VALUES`](crate::plan::limits::MAX_UNLISTED_VALUES) a breakdown, and are `other` from then on.

use rustc_hash::FxHashMap;

use crate::plan::Breakdown;
use crate::plan::limits::MAX_UNLISTED_VALUES;

/// What values beyond the limit count as.
pub const OTHER: &str = "other";

/// Ids of breakdown values; 0 is no value's.
#[derive(Debug, Clone, Default)]
pub struct Values {
    /// Per breakdown.
    ids: Vec<FxHashMap<String, u16>>,
    other: Vec<u16>,
    unlisted: Vec<usize>,
    /// (breakdown, value) by id - 1.
    names: Vec<(usize, String)>,
    /// How many of them the plan brought.
    from_plan: usize,
    /// By breakdown: whether some value had to count as `other`.
    truncated: Vec<bool>,
}

impl Values {
    /// The ids that the plan itself brings.
    pub fn new(breakdowns: &[Breakdown]) -> Self {
        let mut values = Self::default();
        for (breakdown, plan) in breakdowns.iter().enumerate() {
            values.ids.push(FxHashMap::default());
            values.unlisted.push(0);
            values.truncated.push(false);
            let other = values.name(breakdown, OTHER);
            values.other.push(other);
            for value in &plan.values {
                match value == OTHER {
                    // It is what it was; the next ones have the ids that their places give them.
                    true => values.names.push((breakdown, OTHER.to_owned())),
                    false => drop(values.name(breakdown, value)),
                }
            }
        }
        values.from_plan = values.names.len();
        values
    }

    /// The id of a value, given now if it is new and there is room.
    pub fn id(&mut self, breakdown: usize, value: &str) -> u16 {
        if let Some(id) = self.ids.get(breakdown).and_then(|ids| ids.get(value)) {
            return *id;
        }
        match self.unlisted.get_mut(breakdown) {
            Some(count) if *count < MAX_UNLISTED_VALUES => {
                *count += 1;
                self.name(breakdown, value)
            }
            Some(_) => {
                if let Some(truncated) = self.truncated.get_mut(breakdown) {
                    *truncated = true;
                }
                self.other.get(breakdown).copied().unwrap_or(0)
            }
            None => 0,
        }
    }

    /// The breakdown's index and the value of an id.
    pub fn get(&self, id: u16) -> Option<(usize, &str)> {
        let (breakdown, value) = self.names.get(usize::from(id).checked_sub(1)?)?;
        Some((*breakdown, value))
    }

    /// How many ids there are; they are 1 to this.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether some value of a breakdown had to count as `other`.
    pub fn truncated(&self, breakdown: usize) -> bool {
        self.truncated.get(breakdown).copied().unwrap_or(false)
    }

    /// Whether some value of any breakdown had to count as `other`, for [`Values::restore`].
    pub fn any_truncated(&self) -> bool {
        self.truncated.contains(&true)
    }

    /// Those that the plan does not bring, in the order of their ids, for [`Values::restore`].
    pub fn learned(&self) -> Vec<String> {
        let learned = self.names.get(self.from_plan..).unwrap_or(&[]);
        learned.iter().map(|(breakdown, value)| format!("{breakdown}:{value}")).collect()
    }

    /// Learns again what [`Values::learned`] gave, with the same ids. What is not of that form is left out. Where some value
    /// had to count as `other`, those breakdowns are taken to be truncated that have no room left.
    pub fn restore(&mut self, learned: &[String], truncated: bool) {
        for (breakdown, value) in learned.iter().filter_map(|text| text.split_once(':')) {
            if let Ok(breakdown) = breakdown.parse::<usize>() {
                self.id(breakdown, value);
            }
        }
        for (count, is_truncated) in self.unlisted.iter().zip(&mut self.truncated) {
            *is_truncated = truncated && *count >= MAX_UNLISTED_VALUES;
        }
    }

    fn name(&mut self, breakdown: usize, value: &str) -> u16 {
        self.names.push((breakdown, value.to_owned()));
        let id = self.names.len() as u16;
        if let Some(ids) = self.ids.get_mut(breakdown) {
            ids.insert(value.to_owned(), id);
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::NO_VALUE;

    fn channel() -> Breakdown {
        Breakdown { by: "channel".into(), values: vec!["email".into()] }
    }

    #[test]
    fn other_may_be_listed_and_is_the_one_that_there_is() {
        let listed = ["a", OTHER, "b"].map(str::to_owned).to_vec();
        let mut values = Values::new(&[Breakdown { by: "plan".into(), values: listed }]);
        let b = values.id(0, "b");
        assert_eq!(values.get(b), Some((0, "b")));
        for n in 0..MAX_UNLISTED_VALUES {
            values.id(0, &n.to_string());
        }
        assert_eq!(values.id(0, "one more"), values.id(0, OTHER), "both are counted together");
    }

    #[test]
    fn listed_values_have_ids_and_others_get_theirs_in_order_until_the_limit() {
        let mut values = Values::new(&[channel()]);
        assert_eq!(values.get(values.clone().id(0, "email")), Some((0, "email")));
        for n in 0..MAX_UNLISTED_VALUES {
            let id = values.id(0, &format!("v{n}"));
            assert_eq!(values.id(0, &format!("v{n}")), id);
        }
        assert!(!values.truncated(0) && !values.any_truncated());
        let beyond = values.id(0, "one more");
        assert_eq!(values.get(beyond), Some((0, OTHER)));
        assert!(values.truncated(0) && values.any_truncated());
        assert_eq!(values.get(values.clone().id(0, "email")), Some((0, "email")));
    }

    #[test]
    fn a_breakdown_is_not_truncated_because_another_one_is() {
        let both = [channel(), Breakdown { by: "plan".into(), values: vec![] }];
        let mut values = Values::new(&both);
        for n in 0..=MAX_UNLISTED_VALUES {
            values.id(1, &format!("v{n}"));
        }
        values.id(0, "ads");
        assert_eq!([0, 1, 2].map(|breakdown| values.truncated(breakdown)), [false, true, false]);
        let mut restored = Values::new(&both);
        restored.restore(&values.learned(), values.any_truncated());
        assert_eq!([0, 1].map(|breakdown| restored.truncated(breakdown)), [false, true]);
    }

    #[test]
    fn learned_values_keep_their_ids_over_a_restart() {
        let mut values = Values::new(&[channel(), Breakdown { by: "plan".into(), values: vec![] }]);
        let ids = [values.id(1, "a:b"), values.id(0, NO_VALUE), values.id(0, "")];
        let mut restored = Values::new(&[channel(), Breakdown { by: "plan".into(), values: vec![] }]);
        restored.restore(&values.learned(), false);
        assert_eq!([restored.id(1, "a:b"), restored.id(0, NO_VALUE), restored.id(0, "")], ids);
    }
}
