//! Log lines to standard error, as text for people or JSON for collectors of logs. Called once, first thing in `main`.
//!
//! The level comes from `[logging] level`; the environment's `RUNGS_LOG` overrides it for one run, with tracing's
//! directives (`RUNGS_LOG=info,aggregator=debug`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LoggingSettings};

/// The environment variable that overrides the level.
pub const LEVEL_VARIABLE: &str = "RUNGS_LOG";

/// Logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is not one.
    #[error(
        "{from}: `{level}` is not a log level: {reason} (hint: error, warn, info, debug, or `info,aggregator=debug`)"
    )]
    Level { from: &'static str, level: String, reason: String },
    /// A second start in one process.
    #[error("logging was started twice in this process")]
    StartedTwice,
}

/// Starts logging for the whole process.
///
/// # Errors
/// When the level cannot be read, or logging runs already.
pub fn start(settings: &LoggingSettings) -> Result<(), LoggingError> {
    let filter = filter(settings, std::env::var(LEVEL_VARIABLE).ok())?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|_| LoggingError::StartedTwice)
}

fn filter(settings: &LoggingSettings, variable: Option<String>) -> Result<EnvFilter, LoggingError> {
    let (from, level) = match variable.filter(|level| !level.trim().is_empty()) {
        Some(level) => (LEVEL_VARIABLE, level),
        None => ("[logging] level", settings.level.clone()),
    };
    let wrong = |reason: String| LoggingError::Level { from, level: level.clone(), reason };
    EnvFilter::builder().parse(&level).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_overrides_the_settings() {
        let settings = LoggingSettings::default();
        assert_eq!(filter(&settings, None).unwrap().to_string(), "info");
        assert_eq!(filter(&settings, Some(" ".into())).unwrap().to_string(), "info");
        assert_eq!(
            filter(&settings, Some("warn,runtime=debug".into())).unwrap().to_string(),
            "runtime=debug,warn"
        );
    }

    #[test]
    fn a_wrong_level_is_refused_with_its_source() {
        let error = filter(&LoggingSettings::default(), Some("runtime=loud".into())).unwrap_err();
        assert!(error.to_string().starts_with("RUNGS_LOG: `runtime=loud` is not a log level"), "{error}");
    }
}
