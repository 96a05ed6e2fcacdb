//! Secrets: read from the file that a `…_file` setting names, and left out of what is printed.

use std::fmt;
use std::path::Path;

use super::read::Wrong;
use super::{ClickHouseSettings, ConsoleSettings, KafkaSettings};

/// Reads a secret without the white space around it. A relative path is taken from `folder`.
pub(super) fn read_file(folder: &Path, path: &str) -> Result<String, Wrong> {
    let path = folder.join(path);
    let wrong = |reason: String| Wrong {
        message: format!("names {}, {reason}", path.display()),
        hint: "the file holds the secret and nothing else".to_owned(),
    };
    let text =
        std::fs::read_to_string(&path).map_err(|error| wrong(format!("which cannot be read: {error}")))?;
    match text.trim() {
        "" => Err(wrong("which is empty".to_owned())),
        secret => Ok(secret.to_owned()),
    }
}

fn hidden(secret: &Option<String>) -> Option<&'static str> {
    secret.as_ref().map(|_| "***")
}

impl fmt::Debug for ConsoleSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, workers, token, max_report_visitors } = self;
        let mut debug = formatter.debug_struct("ConsoleSettings");
        debug.field("listen", listen).field("workers", workers).field("token", &hidden(token));
        debug.field("max_report_visitors", max_report_visitors).finish()
    }
}

impl fmt::Debug for ClickHouseSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, user, password, database, ca_file, replicated } = self;
        let mut debug = formatter.debug_struct("ClickHouseSettings");
        debug.field("url", url).field("user", user).field("password", &hidden(password));
        debug.field("database", database).field("ca_file", ca_file).field("replicated", replicated).finish()
    }
}

/// Without the values of options: some hold secrets.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { brokers, topic_prefix, partitions, replication, username, password, options, .. } = self;
        let mut debug = formatter.debug_struct("KafkaSettings");
        debug.field("brokers", brokers).field("topic_prefix", topic_prefix).field("partitions", partitions);
        debug.field("replication", replication).field("username", username);
        debug.field("password", &hidden(password)).field("options", &options.keys().collect::<Vec<_>>());
        debug.finish_non_exhaustive()
    }
}
