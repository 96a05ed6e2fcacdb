//! What can go wrong between us and ClickHouse, and whether trying again can help.

use std::time::Duration;

use clickhouse::error::Error;

/// A statement failed, or the schema does not fit this program.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// `[clickhouse]` cannot be used.
    #[error("[clickhouse] {reason}")]
    Settings {
        /// What is wrong and how it should look.
        reason: String,
    },
    /// No answer in time; it is unknown whether the statement took effect.
    #[error("ClickHouse did not answer within {limit:?} ({statement})")]
    Timeout {
        /// The table or the read.
        statement: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// ClickHouse refused or broke off.
    #[error("ClickHouse {}", told(statement, source))]
    Statement {
        /// The table or the read.
        statement: String,
        /// What the client or the server said.
        source: Error,
    },
    /// The database was made by a newer program that this one cannot work with.
    #[error(
        "the database's schema is version {found}, which needs a program that knows schema {oldest_compatible} or \
         later; this one knows {known}. Start the release that migrated it, or a later one"
    )]
    Incompatible {
        /// The schema's version.
        found: u32,
        /// What it asks of a program.
        oldest_compatible: u32,
        /// What this program knows.
        known: u32,
    },
    /// Rows of `logs` are not there that were stored.
    #[error(
        "the log {log_id} gets no number: rows that are stored in the table logs are not read from it. If somebody deleted \
         them, it is tried again with the next numbers"
    )]
    NoLogNumber {
        /// The log's id.
        log_id: String,
    },
    /// Nobody has made the tables yet.
    #[error("the database {database} has no tables yet: run `rungs migrate`")]
    NoSchema {
        /// The database of `[clickhouse] database`.
        database: String,
    },
}

/// Server errors that pass by themselves: timeouts, network, too many queries, memory, read-only table, too many parts,
/// too few replicas, an earlier insert whose quorum is awaited, a replica that is behind, unknown status of an insert,
/// keeper.
const PASSING_CODES: [u32; 15] = [159, 164, 202, 203, 209, 210, 241, 242, 252, 285, 286, 287, 289, 319, 999];

/// What a server or a proxy in front of it answers while it is overloaded or away.
const PASSING_STATUS: [&str; 4] = ["429", "502", "503", "504"];

impl WarehouseError {
    pub(crate) fn statement(statement: impl Into<String>, source: Error) -> Self {
        Self::Statement { statement: statement.into(), source }
    }

    /// Whether the same statement can succeed later without anybody's help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::NoLogNumber { .. } => true,
            Self::Statement { source, .. } => is_passing(source),
            Self::Settings { .. } | Self::Incompatible { .. } | Self::NoSchema { .. } => false,
        }
    }

    /// The server's error code (`Code: 60. DB::Exception: …`), where the server sent one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Statement { source: Error::BadResponse(text), .. } => code_of(text),
            _ => None,
        }
    }
}

/// A server that is away is told by its innermost cause: `Connection refused`, not `network error: client error`.
fn told(statement: &str, source: &Error) -> String {
    let Error::Network(network) = source else { return format!("failed ({statement}): {source}") };
    let mut cause: &dyn std::error::Error = network.as_ref();
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("does not answer ({statement}): {cause}")
}

fn is_passing(error: &Error) -> bool {
    match error {
        Error::Network(_) | Error::TimedOut => true,
        Error::BadResponse(text) => match code_of(text) {
            Some(code) => PASSING_CODES.contains(&code),
            None => PASSING_STATUS.iter().any(|status| text.starts_with(status)),
        },
        _ => false,
    }
}

fn code_of(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    digits.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> WarehouseError {
        WarehouseError::statement("events", Error::BadResponse(text.into()))
    }

    #[test]
    fn overload_and_network_pass_but_a_wrong_statement_does_not() {
        assert!(answered("503 Service Unavailable").is_retryable());
        assert!(answered("Code: 252. DB::Exception: Too many parts").is_retryable());
        assert!(WarehouseError::statement("events", Error::Network("refused".into())).is_retryable());
        assert!(!answered("Code: 60. DB::Exception: Unknown table").is_retryable());
        assert!(!answered("404 Not Found").is_retryable());
    }

    #[test]
    fn a_server_that_is_away_is_told_by_the_innermost_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("error sending request")]
        struct Outer(#[source] std::io::Error);
        let refused = std::io::Error::other("Connection refused");
        let error = WarehouseError::statement("ping", Error::Network(Box::new(Outer(refused))));
        assert_eq!(error.to_string(), "ClickHouse does not answer (ping): Connection refused");
    }

    #[test]
    fn the_text_names_the_statement_and_the_servers_code() {
        let error = answered("Code: 60. DB::Exception: Unknown table");
        assert_eq!(error.code(), Some(60));
        assert!(error.to_string().contains("(events)"), "{error}");
    }
}
