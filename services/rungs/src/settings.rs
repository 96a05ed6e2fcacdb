//! The settings of this process: a file, if one is named, and the environment; with every mistake shown at once.

use std::path::Path;

use checked_toml::Problem;
use runtime::Settings;
use runtime::settings::{LoggingSettings, environment};

use crate::failure::Failure;
use crate::problems;

/// They tell their own life at `info`; `[logging] level = "debug"` or RUNGS_LOG shows it.
const ENGINES: &str = ",actix_server=error,fjall=warn,lsm_tree=warn";

/// Reads the settings, or fails with all that is wrong with them.
pub(crate) fn load(file: Option<&Path>) -> Result<Settings, Failure> {
    Settings::load(file, environment()).map_err(|found| {
        let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        Failure::new(format!("the settings cannot be used\n{}", problems::render(&found, &text)))
    })
}

/// Starts logging; at a plain level the engines below and the HTTP servers only warn.
pub(crate) fn start_logging(settings: &LoggingSettings) -> Result<(), Failure> {
    let level = &settings.level;
    let is_plain = ["error", "warn", "info"].contains(&level.as_str());
    let level = if is_plain { format!("{level}{ENGINES}") } else { level.clone() };
    Ok(runtime::logging::start(&LoggingSettings { level, ..settings.clone() })?)
}

/// Everything that is wrong with a settings file and the environment.
pub(crate) fn check(file: &Path) -> Result<Settings, Vec<Problem>> {
    Settings::load(Some(file), environment())
}

/// A file that cannot be read, as a problem of that file.
pub(crate) fn unreadable(file: &str, error: &std::io::Error) -> Problem {
    Problem {
        file: file.to_owned(),
        line: 0,
        message: format!("it cannot be read: {error}"),
        hint: "is the path right, seen from this folder?".to_owned(),
    }
}
