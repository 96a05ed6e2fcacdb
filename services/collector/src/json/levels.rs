//! Which kinds of brackets are open: one bit a level, so that hostile nesting costs memory only by the bit.

/// The open objects and arrays of a scan.
#[derive(Debug, Default)]
pub(super) struct Levels {
    depth: usize,
    /// The innermost up to 64 levels; bit 0 is the innermost, 1 = object.
    inner: u64,
    /// Words of 64 levels that lie outside of `inner`.
    outer: Vec<u64>,
}

impl Levels {
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Opens an object or an array.
    pub(super) fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = (self.inner << 1) | u64::from(object);
        self.depth += 1;
    }

    /// Closes the innermost.
    pub(super) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.inner >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.inner = self.outer.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost is an object.
    pub(super) fn in_object(&self) -> bool {
        self.inner & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn levels_behave_like_a_stack_of_bools(steps in proptest::collection::vec(0u8..5, 0..600)) {
            let (mut levels, mut model) = (Levels::default(), Vec::new());
            for step in steps {
                match step {
                    0 => { model.pop(); levels.pop(); }
                    other => { model.push(other % 2 == 0); levels.push(other % 2 == 0); }
                }
                prop_assert_eq!(levels.depth(), model.len());
                if let Some(last) = model.last() {
                    prop_assert_eq!(levels.in_object(), *last);
                }
            }
        }
    }
}
