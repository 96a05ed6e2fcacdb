//! Why a command ended without success: a text for people and an exit code for scripts. Every command returns it; only
//! `main` prints it.

use std::fmt;
use std::process::ExitCode;

/// An unsuccessful end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// It could not be done (exit code 1).
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }

    /// The command line, or this build, does not allow it (exit code 2, as clap's own refusals).
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 2 }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rungs: {}", self.text)
    }
}

/// Errors of this project say themselves what to do.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}
