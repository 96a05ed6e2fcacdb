//! The collector and a site's secret key on a command line: for commands that change what a site's numbers count.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::import::send::Collector;

/// Where to, and with which key.
#[derive(Debug, Args)]
pub(crate) struct SiteKey {
    /// The collector
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A secret key of the site (its SHA-256 stands in the plan)
    #[arg(
        long,
        value_name = "SECRET",
        env = "RUNGS_SECRET_KEY",
        hide_env_values = true,
        required_unless_present = "key_file"
    )]
    key: Option<String>,
    /// A file with the secret key
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// The site that the key belongs to
    #[arg(long, value_name = "SITE")]
    site: String,
}

impl SiteKey {
    /// The collector, to be asked in the site's name.
    pub(crate) fn collector(&self) -> Result<Collector, Failure> {
        let key = match (&self.key, &self.key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(path)) => read(path)?.trim().to_owned(),
            (None, None) => return Err(Failure::usage("--key or --key-file is missing")),
        };
        Collector::new(self.url.trim_end_matches('/'), &key, &self.site)
    }
}

/// A file that the command line names.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
