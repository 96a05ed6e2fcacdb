//! What can go wrong in the embedded engine, with the texts its users see. `status` turns these into HTTP answers.
//!
//! Errors of the engine keep ClickHouse's code and text (`Code: 60. DB::Exception: …`), so that clients which parse
//! them work unchanged; errors of the front borrow the code ClickHouse uses for the same condition.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A failure to load, open, serve or query the embedded engine.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No loadable library was found; `tried` has one "path: reason" a line.
    #[error(
        "the embedded ClickHouse library (libchdb.so) was not found; tried:\n{tried}\n\
         fetch it with scripts/fetch-libchdb.sh, put it beside the program or into its ../lib, or set RUNGS_LIBCHDB to its path; with a \
         ClickHouse server in [clickhouse] url none is needed"
    )]
    LibraryNotFound { tried: String },
    /// A file was loaded, but lacks a function: another version than the one this was built for.
    #[error(
        "{path} lacks the function `{symbol}`: version 26.7.3 or newer is needed; fetch it with scripts/fetch-libchdb.sh"
    )]
    SymbolMissing { path: PathBuf, symbol: String },
    /// Another process has the data folder open.
    #[error(
        "the data folder {path} is in use by {owner}; stop that process, or choose another folder with --data-dir"
    )]
    InUse { path: PathBuf, owner: String },
    /// The engine refused to open the data folder.
    #[error(
        "the embedded ClickHouse could not open {path}: is it writable, and written by this version or an older one?"
    )]
    Open { path: PathBuf },
    /// The front serves without a password, so it binds loopback addresses only.
    #[error(
        "the embedded ClickHouse has no passwords and listens on loopback only, not on {0}; use 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// The listen address could not be bound.
    #[error(
        "the embedded ClickHouse cannot listen on {address}: {source}; end what uses the port, or choose another one with \
         --clickhouse (of `rungs clickhouse`: --listen)"
    )]
    Bind { address: SocketAddr, source: std::io::Error },
    /// A file of the data folder could not be read or written.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// The engine answered with an exception. `message` begins with `Code: N. DB::Exception: `.
    #[error("{message}")]
    Engine { code: u32, message: String },
    /// The request itself is unusable; `code` is what ClickHouse answers in the same case.
    #[error("Code: {code}. DB::Exception: {message}")]
    Request { code: u32, message: String },
    /// The request's body ended early, timed out or could not be decompressed.
    #[error("Code: 33. DB::Exception: the request's body could not be read: {0}; the insert was aborted")]
    Body(String),
    /// Every worker is taken and the queue is full.
    #[error(
        "Code: 202. DB::Exception: too many queries at once: {queued} are waiting; try again in a second"
    )]
    Busy { queued: usize },
    /// The server is stopping.
    #[error("Code: 210. DB::Exception: the embedded ClickHouse is shutting down")]
    ShuttingDown,
    /// The client went away; nobody reads this answer.
    #[error("Code: 210. DB::Exception: the client closed the connection")]
    ClientGone,
}

impl EmbeddedError {
    /// An exception text of the engine, with its code read and repeated prefixes (one a layer) folded into one.
    pub(crate) fn engine(text: &str) -> Self {
        let mut message = text.trim();
        let code = leading_code(message).unwrap_or(1001);
        let prefix = format!("Code: {code}. DB::Exception: ");
        while let Some(rest) = message.strip_prefix(&prefix)
            && rest.starts_with(&prefix)
        {
            message = rest;
        }
        Self::Engine { code, message: message.to_owned() }
    }

    pub(crate) fn request(code: u32, message: impl Into<String>) -> Self {
        Self::Request { code, message: message.into() }
    }

    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// ClickHouse's number for this error, as sent in `X-ClickHouse-Exception-Code`.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Engine { code, .. } | Self::Request { code, .. } => *code,
            Self::Body(_) => 33,
            Self::Busy { .. } => 202,
            Self::ShuttingDown | Self::ClientGone | Self::NotLoopback(_) | Self::Bind { .. } => 210,
            Self::InUse { .. } | Self::Open { .. } | Self::File { .. } => 76,
            Self::LibraryNotFound { .. } | Self::SymbolMissing { .. } => 1001,
        }
    }
}

fn leading_code(message: &str) -> Option<u32> {
    message.strip_prefix("Code: ")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_error_keeps_its_code_and_one_prefix() {
        let error =
            EmbeddedError::engine("Code: 73. DB::Exception: Code: 73. DB::Exception: Unknown format\n");
        assert_eq!(error.code(), 73);
        assert_eq!(error.to_string(), "Code: 73. DB::Exception: Unknown format");
    }
}
