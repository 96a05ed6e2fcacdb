//! What `/readyz` says: a service is ready when every named condition holds. Conditions are declared when a service
//! is built, so that none can be forgotten in the answer, and set by the part that knows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The readiness of a process. Cheap to clone: clones share the conditions.
#[derive(Clone, Debug, Default)]
pub struct Health {
    conditions: Arc<Mutex<Vec<Condition>>>,
}

/// One thing that has to be true before a service may be sent work. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Condition {
    name: &'static str,
    holds: Arc<AtomicBool>,
}

impl Health {
    /// No conditions: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a condition that does not hold yet. The same name gives the same condition.
    pub fn condition(&self, name: &'static str) -> Condition {
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = conditions.iter().find(|condition| condition.name == name) {
            return known.clone();
        }
        let condition = Condition { name, holds: Arc::new(AtomicBool::new(false)) };
        conditions.push(condition.clone());
        condition
    }

    /// Whether every condition holds.
    pub fn is_ready(&self) -> bool {
        self.missing().is_empty()
    }

    /// The conditions that do not hold, in the order of their declaration.
    pub fn missing(&self) -> Vec<&'static str> {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.iter().filter(|condition| !condition.holds()).map(|condition| condition.name).collect()
    }
}

impl Condition {
    /// Says whether it holds now.
    pub fn set(&self, holds: bool) {
        if self.holds.swap(holds, Ordering::AcqRel) != holds {
            tracing::info!(condition = self.name, holds, "readiness changed");
        }
    }

    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_every_declared_condition_holds() {
        let health = Health::new();
        assert!(health.is_ready());
        let plan = health.condition("plan loaded");
        let spill = health.condition("spill writable");
        plan.set(true);
        assert_eq!(health.missing(), ["spill writable"]);
        spill.set(true);
        assert!(health.is_ready());
        plan.set(false);
        assert_eq!(health.missing(), ["plan loaded"]);
    }

    #[test]
    fn a_name_declared_twice_is_one_condition() {
        let health = Health::new();
        health.condition("plan loaded");
        health.condition("plan loaded").set(true);
        assert!(health.is_ready());
    }
}
