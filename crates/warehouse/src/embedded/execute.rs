//! Runs one request on a worker's connection and sends what comes of it to the HTTP thread.
//!
//! Three ways: an INSERT whose rows are in the body streams into the engine; a SELECT in a format whose blocks can be
//! joined streams out of it; everything else runs in one call. A client that goes away cancels its query.

use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::EmbeddedError;
use super::blocks;
use super::body::BodyReader;
use super::formats::{self, HeaderOnce, Joining};
use super::library::{Connection, QueryResult, StatementClass};
use super::request::Request;
use super::session::Session;
use super::statement::{self, Statement};

/// Replies between a worker and the HTTP thread; a chunk is one engine block (about 65,000 rows).
pub(super) const REPLY_CHUNKS: usize = 4;
/// How long a client may leave its answer unread before its query is cancelled.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes handed to the engine at a time.
const APPEND_BYTES: usize = 256 * 1024;
/// How far a body is searched for the end of an INSERT's SQL before it is taken for a long statement.
const HEAD_BYTES: usize = 64 * 1024;
/// The longest statement with its inline VALUES; larger data belongs into a streamed insert.
const STATEMENT_BYTES: usize = 16 * 1024 * 1024;
/// ClickHouse's format for HTTP answers without a format.
const DEFAULT_FORMAT: &str = "TabSeparated";

/// One queued request. `replies` gets a head first, then chunks, then the end; or an error at any point.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) body: BodyReader,
    pub(super) is_insert: bool,
    pub(super) replies: mpsc::Sender<Reply>,
}

/// What a worker tells the HTTP thread.
#[derive(Debug)]
pub(super) enum Reply {
    /// Format and counts; the status is 200 from here on.
    Head(Head),
    Chunk(Bytes),
    /// The result is complete. A channel that closes without it means that the worker died.
    End,
    Failed(EmbeddedError),
}

#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) rows_read: u64,
    pub(super) bytes_read: u64,
    pub(super) rows_written: u64,
    pub(super) bytes_written: u64,
    pub(super) elapsed: Duration,
}

impl Job {
    /// Runs the request; every outcome ends up in `replies`.
    pub(super) fn run(self, session: &mut Session) {
        let Self { request, body, replies, .. } = self;
        if replies.is_closed() {
            return;
        }
        let out = Out { replies, compress: request.compress, started: Instant::now() };
        let reply = match execute(session, &request, body, &out) {
            Ok(()) => Reply::End,
            Err(error) => Reply::Failed(error),
        };
        // A client that went away needs no answer.
        out.send(reply).ok();
    }
}

/// The way back, with what every reply needs.
struct Out {
    replies: mpsc::Sender<Reply>,
    compress: bool,
    started: Instant,
}

impl Out {
    fn send(&self, reply: Reply) -> Result<(), EmbeddedError> {
        let reply = match self.replies.try_send(reply) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(EmbeddedError::ClientGone),
            Err(mpsc::error::TrySendError::Full(reply)) => reply,
        };
        let waiting = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let waiting = waiting.map_err(|_| EmbeddedError::ClientGone)?;
        let sent =
            waiting.block_on(async { tokio::time::timeout(UNREAD_TIMEOUT, self.replies.send(reply)).await });
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(EmbeddedError::ClientGone) }
    }

    fn head(&self, format: &str, result: Option<&QueryResult>) -> Result<(), EmbeddedError> {
        let count = |of: fn(&QueryResult) -> u64| result.map(of).unwrap_or_default();
        self.send(Reply::Head(Head {
            format: format.to_owned(),
            rows_read: count(QueryResult::rows_read),
            bytes_read: count(QueryResult::bytes_read),
            rows_written: count(QueryResult::rows_written),
            bytes_written: count(QueryResult::bytes_written),
            elapsed: self.started.elapsed(),
        }))
    }

    fn chunk(&self, bytes: &[u8]) -> Result<(), EmbeddedError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let bytes = if self.compress { blocks::pack(bytes).into() } else { Bytes::copy_from_slice(bytes) };
        self.send(Reply::Chunk(bytes))
    }
}

fn execute(
    session: &mut Session,
    request: &Request,
    body: BodyReader,
    out: &Out,
) -> Result<(), EmbeddedError> {
    let mut body = request.encoding.decode(body).map_err(broken)?;
    let (text, parsed) = read_statement(request, &mut body)?;
    let connection = session.prepare(&request.database, &request.settings)?;
    if let Statement::Insert { sql, format, data } = parsed {
        refuse_if_readonly(request)?;
        let inline = text.get(data..).unwrap_or_default().chain(body);
        return insert(
            connection,
            request,
            &sql,
            &format.unwrap_or_else(|| "Values".to_owned()),
            inline,
            out,
        );
    }
    let sql =
        String::from_utf8(text).map_err(|_| EmbeddedError::request(62, "the query is not valid UTF-8"))?;
    let class = classify(connection, request, &sql)?;
    let named = |format: Option<String>| {
        format.or_else(|| request.default_format.clone()).unwrap_or_else(|| DEFAULT_FORMAT.to_owned())
    };
    let outcome = match parsed {
        Statement::Select { .. } if class == StatementClass::Control => {
            Err(EmbeddedError::request(1, "INTO OUTFILE is not allowed over HTTP"))
        }
        Statement::Select { format, totals } if class == StatementClass::ReadOnly => {
            let format = named(format);
            let joining =
                if totals || request.whole_result { Joining::Whole } else { formats::joining(&format) };
            select(connection, request, &sql, &format, joining, out)
        }
        Statement::Select { format, .. } | Statement::Other { format } => {
            run_whole(connection, request, &sql, &named(format), out)
        }
        Statement::Insert { .. } => Ok(()),
    };
    if class == StatementClass::Control {
        session.renew()?;
    }
    outcome
}

/// The statement's text and what it is. Of an INSERT with data in the body, only the beginning is read.
fn read_statement(request: &Request, body: &mut dyn Read) -> Result<(Vec<u8>, Statement), EmbeddedError> {
    let mut text = request.sql.clone().into_bytes();
    if !text.is_empty() {
        let parsed = statement::parse(&text);
        if matches!(parsed, Statement::Insert { .. }) {
            return Ok((text, parsed));
        }
        text.push(b'\n');
    }
    read_up_to(body, &mut text, HEAD_BYTES)?;
    let parsed = statement::parse(&text);
    if matches!(parsed, Statement::Insert { format: Some(_), .. }) {
        return Ok((text, parsed));
    }
    read_up_to(body, &mut text, STATEMENT_BYTES)?;
    if text.len() >= STATEMENT_BYTES {
        let message = format!(
            "the query is longer than {STATEMENT_BYTES} bytes; send rows as INSERT … FORMAT with a body"
        );
        return Err(EmbeddedError::request(307, message));
    }
    let parsed = statement::parse(&text);
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(EmbeddedError::request(62, "Syntax error: empty query"));
    }
    Ok((text, parsed))
}

/// Reads until `text` has `limit` bytes or the body ends.
fn read_up_to(body: &mut dyn Read, text: &mut Vec<u8>, limit: usize) -> Result<(), EmbeddedError> {
    let missing = limit.saturating_sub(text.len());
    body.take(u64::try_from(missing).unwrap_or(u64::MAX)).read_to_end(text).map_err(broken)?;
    Ok(())
}

fn broken(error: std::io::Error) -> EmbeddedError {
    EmbeddedError::Body(error.to_string())
}

fn classify(
    connection: &mut Connection,
    request: &Request,
    sql: &str,
) -> Result<StatementClass, EmbeddedError> {
    let (class, statements) = connection.classify(sql);
    if statements > 1 {
        return Err(EmbeddedError::request(62, "Syntax error (Multi-statements are not allowed)"));
    }
    // What does not parse is left to the engine, whose error says where.
    if !matches!(class, StatementClass::ReadOnly | StatementClass::Unknown) {
        refuse_if_readonly(request)?;
    }
    Ok(class)
}

fn refuse_if_readonly(request: &Request) -> Result<(), EmbeddedError> {
    let message =
        "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly; use POST";
    if request.readonly { Err(EmbeddedError::request(164, message)) } else { Ok(()) }
}

fn run_whole(
    connection: &mut Connection,
    request: &Request,
    sql: &str,
    format: &str,
    out: &Out,
) -> Result<(), EmbeddedError> {
    let result = connection.query(sql, format, &request.parameters)?;
    out.head(format, Some(&result))?;
    out.chunk(result.bytes())
}

fn select(
    connection: &mut Connection,
    request: &Request,
    sql: &str,
    format: &str,
    joining: Joining,
    out: &Out,
) -> Result<(), EmbeddedError> {
    if joining == Joining::Whole {
        return run_whole(connection, request, sql, format, out);
    }
    let mut stream = connection.select(sql, format, &request.parameters)?;
    let mut once = HeaderOnce::default();
    let mut block = stream.fetch()?;
    out.head(format, block.as_ref())?;
    while let Some(result) = block {
        out.chunk(once.keep(joining, result.bytes()))?;
        block = stream.fetch()?;
    }
    Ok(())
}

fn insert(
    connection: &mut Connection,
    request: &Request,
    sql: &str,
    format: &str,
    mut data: impl Read,
    out: &Out,
) -> Result<(), EmbeddedError> {
    let mut stream = connection.insert(sql, format, &request.parameters)?;
    let mut buffer = vec![0; APPEND_BYTES];
    loop {
        let filled = fill(&mut data, &mut buffer)?;
        if filled == 0 {
            break;
        }
        stream.append(buffer.get(..filled).unwrap_or_default())?;
    }
    let result = stream.done()?;
    out.head(format, Some(&result))
}

/// Reads until `buffer` is full or the data end, so that the engine is called with large pieces.
fn fill(data: &mut impl Read, buffer: &mut [u8]) -> Result<usize, EmbeddedError> {
    let mut filled = 0;
    while let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
        match data.read(free).map_err(broken)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
