//! JSON as the collector needs it: one pass over the text that checks it completely, keeps every value as a slice of
//! the client's own bytes and builds no tree. Adapters call [`Scanner`]; what they keep are [`Value`]s.
//!
//! Two kinds of trouble are told apart. A [`SyntaxError`] means that the text is not JSON: nothing after it can be
//! trusted. A [`Flaw`] (too deep, NUL, a lone surrogate, a number beyond f64) is valid JSON that Rungs does not store:
//! the scan goes on, so that one bad event costs no other event of the request.

mod fields;
mod levels;
mod scanner;
mod value;
mod write;

pub(crate) use fields::{elements, fields};
pub(crate) use scanner::Scanner;
pub(crate) use value::{Text, Value};
pub(crate) use write::push_quoted;

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// What was expected.
    pub(crate) expected: &'static str,
    /// Bytes from the start of the text.
    pub(crate) at: usize,
}

impl std::fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

/// Valid JSON that is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Objects and arrays nested deeper than `limits::MAX_NESTING`.
    TooDeep,
    /// A NUL character, which databases and C programs do not carry.
    Nul,
    /// Half of a UTF-16 pair, which is no text.
    LoneSurrogate,
    /// A number that a 64-bit float cannot hold.
    NumberBeyondF64,
}
