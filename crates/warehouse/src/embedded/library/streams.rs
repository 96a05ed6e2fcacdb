//! What a [`Connection`] hands out: results, running SELECTs and open INSERTs, each freed by `Drop`.
//!
//! A stream dropped before its end cancels the query or aborts the insert. The streams borrow the connection mutably,
//! so nothing else can run on it meanwhile, which the engine requires.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{Connection, Handle, Symbols, copy_text, no_result};
use crate::embedded::EmbeddedError;

/// A finished result: formatted bytes and counts.
pub struct QueryResult {
    symbols: Arc<Symbols>,
    result: NonNull<c_void>,
}

impl QueryResult {
    pub(super) fn checked(symbols: &Arc<Symbols>, result: Handle) -> Result<Self, EmbeddedError> {
        let result =
            Self { symbols: Arc::clone(symbols), result: NonNull::new(result).ok_or_else(no_result)? };
        // SAFETY: the handle is alive; the text, if any, belongs to it and is copied before it can be freed.
        let error = copy_text(unsafe { (result.symbols.chdb_result_error)(result.result.as_ptr()) });
        match error {
            Some(text) => Err(EmbeddedError::engine(&text)),
            None => Ok(result),
        }
    }

    /// The formatted rows; empty when the statement returns none.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the handle is alive for as long as `self`.
        let (buffer, length) = unsafe {
            (
                (self.symbols.chdb_result_buffer)(self.result.as_ptr()),
                (self.symbols.chdb_result_length)(self.result.as_ptr()),
            )
        };
        if buffer.is_null() || length == 0 {
            return &[];
        }
        // SAFETY: the engine says `length` bytes are at `buffer`; they live, unchanged, until the result is destroyed.
        unsafe { std::slice::from_raw_parts(buffer.cast(), length) }
    }

    fn count(&self, of: unsafe extern "C" fn(Handle) -> u64) -> u64 {
        // SAFETY: `of` is one of the counters resolved above; the handle is alive.
        unsafe { of(self.result.as_ptr()) }
    }

    /// Rows read from tables.
    #[must_use]
    pub fn rows_read(&self) -> u64 {
        self.count(self.symbols.chdb_result_storage_rows_read)
    }

    /// Bytes read from tables.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.count(self.symbols.chdb_result_storage_bytes_read)
    }

    /// Rows written, those of materialized views included.
    #[must_use]
    pub fn rows_written(&self) -> u64 {
        self.count(self.symbols.chdb_result_rows_written)
    }

    /// Bytes written, in the engine's own form.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.count(self.symbols.chdb_result_bytes_written)
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: owned by this value alone and destroyed once.
        unsafe { (self.symbols.chdb_destroy_query_result)(self.result.as_ptr()) };
    }
}

/// A running SELECT. Dropping it early cancels the query.
pub struct SelectStream<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) stream: QueryResult,
    pub(super) finished: bool,
}

impl SelectStream<'_> {
    /// The next formatted block; `None` at the end.
    ///
    /// # Errors
    /// [`EmbeddedError::Engine`] when the query fails on its way.
    pub fn fetch(&mut self) -> Result<Option<QueryResult>, EmbeddedError> {
        if self.finished {
            return Ok(None);
        }
        // SAFETY: connection and stream are alive, and `&mut self` keeps other calls on them away.
        let block = unsafe {
            (self.connection.symbols.chdb_stream_fetch_result)(
                self.connection.handle(),
                self.stream.result.as_ptr(),
            )
        };
        let block =
            QueryResult::checked(&self.connection.symbols, block).inspect_err(|_| self.finished = true)?;
        self.finished = block.bytes().is_empty();
        Ok((!self.finished).then_some(block))
    }
}

impl Drop for SelectStream<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // SAFETY: the stream is alive and unfinished; its handle is freed after this, by the field's drop.
            unsafe {
                (self.connection.symbols.chdb_stream_cancel_query)(
                    self.connection.handle(),
                    self.stream.result.as_ptr(),
                );
            }
        }
    }
}

/// An open INSERT. Dropping it before [`done`](Self::done) aborts: the unfinished block is not stored.
pub struct InsertStream<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) stream: NonNull<c_void>,
    pub(super) finished: bool,
}

impl InsertStream<'_> {
    pub(super) fn error(&self) -> Option<String> {
        // SAFETY: the stream is alive; the text belongs to it and is copied at once.
        copy_text(unsafe { (self.connection.symbols.chdb_stream_insert_error)(self.stream.as_ptr()) })
    }

    /// Hands bytes of the insert's format to the engine; blocks while it is behind. Cuts need not fall between rows.
    ///
    /// # Errors
    /// [`EmbeddedError::Engine`] when the data cannot be parsed or stored.
    pub fn append(&mut self, data: &[u8]) -> Result<(), EmbeddedError> {
        // SAFETY: `data` is alive during the call and copied by the engine.
        let state = unsafe {
            (self.connection.symbols.chdb_stream_append)(
                self.stream.as_ptr(),
                data.as_ptr().cast(),
                data.len(),
            )
        };
        if state == 0 { Ok(()) } else { Err(self.done_error()) }
    }

    /// The reason of a refused append. The full text is only given by `done`, which cannot succeed any more.
    fn done_error(&mut self) -> EmbeddedError {
        if let Some(text) = self.error() {
            return EmbeddedError::engine(&text);
        }
        match self.finish() {
            Err(error) => error,
            Ok(_) => no_result(),
        }
    }

    /// Ends the data and commits; the result has `rows_written`.
    ///
    /// # Errors
    /// [`EmbeddedError::Engine`]: nothing of the unfinished block is stored.
    pub fn done(mut self) -> Result<QueryResult, EmbeddedError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<QueryResult, EmbeddedError> {
        self.finished = true;
        // SAFETY: the stream is alive; chdb.h leaves the handle itself to `chdb_destroy_insert_stream` (in drop).
        let result = unsafe { (self.connection.symbols.chdb_stream_done)(self.stream.as_ptr()) };
        QueryResult::checked(&self.connection.symbols, result)
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is alive and destroyed once, here; cancelling first drops the unfinished block.
        unsafe {
            if !self.finished {
                (self.connection.symbols.chdb_stream_cancel_insert)(self.stream.as_ptr());
            }
            (self.connection.symbols.chdb_destroy_insert_stream)(self.stream.as_ptr());
        }
    }
}
