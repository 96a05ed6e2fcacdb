//! The engine's C interface, made safe. The only `unsafe` code of the project lives in this file, in [`streams`] and in
//! [`at_exit`](super::at_exit).
//!
//! [`Library`] loads libchdb once and never unloads it (its threads outlive every handle). A [`Connection`] may move
//! between threads but is used by one at a time: every call takes `&mut self`, and the streams borrow it, because the
//! engine runs one statement a connection. Whatever the engine hands out is freed by `Drop`.

#![allow(unsafe_code)]

mod streams;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

use super::{EmbeddedError, at_exit, locate};

pub use streams::{InsertStream, QueryResult, SelectStream};

type Handle = *mut c_void;
type Text = *const c_char;

/// Name and value of one `{name:Type}` parameter; the value is in ClickHouse's escaped (TSV) form, as over HTTP.
pub type Parameter = (String, String);

/// What a statement does beyond itself, by the engine's own parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementClass {
    /// SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS: leaves no trace.
    ReadOnly,
    /// INSERT, CREATE, ALTER, DROP, OPTIMIZE, …: changes what is stored.
    Mutating,
    /// SET, USE, temporary tables, SYSTEM, KILL, INTO OUTFILE, …: changes the session or something outside a database.
    Control,
    /// The parser does not know it.
    Unknown,
}

#[repr(C)]
struct Analysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

macro_rules! symbols {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        struct Symbols { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Symbols {
            fn resolve(library: &libloading::Library, path: &Path) -> Result<Self, EmbeddedError> {
                Ok(Self { $($name: {
                    let missing = |_| EmbeddedError::SymbolMissing { path: path.to_owned(), symbol: stringify!($name).into() };
                    // SAFETY: the signature is the one chdb.h 26.7.3 declares for this name. The copied pointer stays
                    // valid because the library is leaked by `Library::open` and so never unloaded.
                    *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }.map_err(missing)?
                },)* })
            }
        }
    };
}

symbols! {
    chdb_version: fn() -> Text;
    chdb_set_signal_handlers_enabled: fn(c_int);
    chdb_connect: fn(c_int, *const Text) -> *mut Handle;
    chdb_close_conn: fn(*mut Handle);
    chdb_classify_query_n: fn(Handle, Text, usize, Text, usize, *mut Analysis) -> c_int;
    chdb_query_with_params_n: fn(Handle, Text, usize, Text, usize, *const Text, *const usize, *const Text, *const usize, usize) -> Handle;
    chdb_stream_query_with_params_n: fn(Handle, Text, usize, Text, usize, *const Text, *const usize, *const Text, *const usize, usize) -> Handle;
    chdb_stream_fetch_result: fn(Handle, Handle) -> Handle;
    chdb_stream_cancel_query: fn(Handle, Handle);
    chdb_stream_insert_with_params_n: fn(Handle, Text, usize, Text, usize, *const Text, *const usize, *const Text, *const usize, usize) -> Handle;
    chdb_stream_append: fn(Handle, *const c_void, usize) -> c_int;
    chdb_stream_done: fn(Handle) -> Handle;
    chdb_stream_cancel_insert: fn(Handle);
    chdb_stream_insert_error: fn(Handle) -> Text;
    chdb_destroy_insert_stream: fn(Handle);
    chdb_result_buffer: fn(Handle) -> Text;
    chdb_result_length: fn(Handle) -> usize;
    chdb_result_error: fn(Handle) -> Text;
    chdb_result_storage_rows_read: fn(Handle) -> u64;
    chdb_result_storage_bytes_read: fn(Handle) -> u64;
    chdb_result_rows_written: fn(Handle) -> u64;
    chdb_result_bytes_written: fn(Handle) -> u64;
    chdb_destroy_query_result: fn(Handle);
}

/// The loaded engine. Cheap to clone.
#[derive(Clone)]
pub struct Library {
    symbols: Arc<Symbols>,
}

impl Library {
    /// Loads the library: `setting` if given, else the places [`locate`] lists.
    ///
    /// # Errors
    /// [`EmbeddedError::LibraryNotFound`] with every path that was tried and why it failed.
    pub fn load(setting: Option<&Path>) -> Result<Self, EmbeddedError> {
        let mut tried = Vec::new();
        for path in locate::candidates(setting) {
            if !path.is_file() {
                tried.push(format!("  {}: no such file", path.display()));
                continue;
            }
            match Self::open(&path) {
                Err(EmbeddedError::LibraryNotFound { tried: reason }) => tried.push(reason),
                loaded => return loaded,
            }
        }
        Err(EmbeddedError::LibraryNotFound { tried: tried.join("\n") })
    }

    fn open(path: &PathBuf) -> Result<Self, EmbeddedError> {
        // SAFETY: the file is the engine's published library; its initialisers only set up its own allocator and
        // registries. A file the user named is trusted as much as the executable beside it.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| {
            EmbeddedError::LibraryNotFound { tried: format!("  {}: {error}", path.display()) }
        })?;
        // Leaked on purpose: the engine's threads run its code until the process ends.
        let library = Box::leak(Box::new(library));
        let symbols = Symbols::resolve(library, path)?;
        // SAFETY: called before any connection exists, as chdb.h asks; keeps the process's own signal handlers.
        unsafe { (symbols.chdb_set_signal_handlers_enabled)(0) };
        at_exit::skip_destructors();
        Ok(Self { symbols: Arc::new(symbols) })
    }

    /// The engine's release, such as `26.7.3`.
    #[must_use]
    pub fn version(&self) -> String {
        // SAFETY: takes nothing and returns a static, NUL-terminated string.
        copy_text(unsafe { (self.symbols.chdb_version)() }).unwrap_or_default()
    }

    /// Opens a connection; the first one starts the engine with its server options (`--path=…`, `--config-file=…`).
    /// `None` when the engine refuses; it says why on stderr only.
    #[must_use]
    pub fn connect(&self, arguments: &[String]) -> Option<Connection> {
        let owned: Vec<CString> = std::iter::once("clickhouse")
            .chain(arguments.iter().map(String::as_str))
            .map(CString::new)
            .collect::<Result<_, _>>()
            .ok()?;
        let pointers: Vec<Text> = owned.iter().map(|argument| argument.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` holds `count` NUL-terminated strings that live until the call returns; the engine copies.
        let outer = NonNull::new(unsafe { (self.symbols.chdb_connect)(count, pointers.as_ptr()) })?;
        Some(Connection { symbols: Arc::clone(&self.symbols), outer })
    }
}

/// One session of the engine: a current database, settings, one statement at a time.
pub struct Connection {
    symbols: Arc<Symbols>,
    outer: NonNull<Handle>,
}

// SAFETY: chdb.h states that a connection's calls must be serialised, not that they must stay on one thread; `&mut self`
// on every method serialises them. It is deliberately not `Sync`.
unsafe impl Send for Connection {}

impl Connection {
    fn handle(&self) -> Handle {
        // SAFETY: `outer` came from `chdb_connect` and is closed only by `drop`; it points at the connection's handle.
        unsafe { *self.outer.as_ptr() }
    }

    /// What `sql` would do, and how many statements it holds, without running it.
    pub fn classify(&mut self, sql: &str) -> (StatementClass, u32) {
        let size = u32::try_from(size_of::<Analysis>()).unwrap_or(16);
        let mut analysis = Analysis { struct_size: size, statement_count: 0, flags: 0, query_class: 4 };
        // SAFETY: the pointers and lengths describe `sql` and `analysis`, both alive during the call; a null target
        // database is allowed and means "do not judge".
        let state = unsafe {
            (self.symbols.chdb_classify_query_n)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                std::ptr::null(),
                0,
                &raw mut analysis,
            )
        };
        let class = match (state, analysis.query_class) {
            (0, 0) => StatementClass::ReadOnly,
            (0, 1 | 2) => StatementClass::Mutating,
            (0, 3) => StatementClass::Control,
            _ => StatementClass::Unknown,
        };
        (class, analysis.statement_count)
    }

    /// Runs one statement and returns its whole result in `format`.
    ///
    /// # Errors
    /// [`EmbeddedError::Engine`] with ClickHouse's code and text.
    pub fn query(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[Parameter],
    ) -> Result<QueryResult, EmbeddedError> {
        let list = ParameterList::new(parameters);
        // SAFETY: text and parameter arrays are described by their lengths and outlive the call; the engine copies.
        let result = unsafe {
            (self.symbols.chdb_query_with_params_n)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                list.names.as_ptr(),
                list.name_lengths.as_ptr(),
                list.values.as_ptr(),
                list.value_lengths.as_ptr(),
                list.len(),
            )
        };
        QueryResult::checked(&self.symbols, result)
    }

    /// Starts a SELECT whose result is fetched block by block; each block is formatted by itself, header included.
    ///
    /// # Errors
    /// [`EmbeddedError::Engine`]; also for statements that are no SELECT.
    pub fn select(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[Parameter],
    ) -> Result<SelectStream<'_>, EmbeddedError> {
        let list = ParameterList::new(parameters);
        // SAFETY: as in `query`; the engine captures text and parameters before it returns.
        let stream = unsafe {
            (self.symbols.chdb_stream_query_with_params_n)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                list.names.as_ptr(),
                list.name_lengths.as_ptr(),
                list.values.as_ptr(),
                list.value_lengths.as_ptr(),
                list.len(),
            )
        };
        let stream = QueryResult::checked(&self.symbols, stream)?;
        Ok(SelectStream { connection: self, stream, finished: false })
    }

    /// Opens an INSERT (`sql` without FORMAT and data) whose rows follow through [`InsertStream::append`].
    ///
    /// # Errors
    /// [`EmbeddedError::Engine`], for example for a table that does not exist.
    pub fn insert(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[Parameter],
    ) -> Result<InsertStream<'_>, EmbeddedError> {
        let list = ParameterList::new(parameters);
        // SAFETY: as in `query`; chdb.h promises a non-null handle, which is checked all the same.
        let stream = unsafe {
            (self.symbols.chdb_stream_insert_with_params_n)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                list.names.as_ptr(),
                list.name_lengths.as_ptr(),
                list.values.as_ptr(),
                list.value_lengths.as_ptr(),
                list.len(),
            )
        };
        let stream = NonNull::new(stream).ok_or_else(no_result)?;
        let stream = InsertStream { connection: self, stream, finished: false };
        match stream.error() {
            Some(text) => Err(EmbeddedError::engine(&text)),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: closed once, here; streams borrow the connection, so none is open. The last one stops the engine.
        unsafe { (self.symbols.chdb_close_conn)(self.outer.as_ptr()) };
    }
}

/// The arrays the C functions take for parameters, pointing into the borrowed names and values.
struct ParameterList {
    names: Vec<Text>,
    name_lengths: Vec<usize>,
    values: Vec<Text>,
    value_lengths: Vec<usize>,
}

impl ParameterList {
    fn new(parameters: &[Parameter]) -> Self {
        Self {
            names: parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
        }
    }

    fn len(&self) -> usize {
        self.names.len()
    }
}

fn no_result() -> EmbeddedError {
    EmbeddedError::engine("Code: 1001. DB::Exception: the engine returned no result")
}

fn copy_text(text: Text) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null; every text function of the interface returns NUL-terminated strings.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
