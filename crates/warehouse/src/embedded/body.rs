//! Carries a request's body from the HTTP thread to a worker, in bounded memory.
//!
//! A body of up to [`BUFFERED_BYTES`] is read before the query is queued, so that a slow sender of small inserts holds
//! no worker; the rest of a larger one follows through a channel of a few chunks while the worker reads. A body that
//! breaks off arrives as an error, which is what makes a vanished client's insert abort.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::Duration;

use actix_web::web;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::EmbeddedError;
use super::quick_ack::QuickAck;

/// How much of a body is read before its query is queued.
const BUFFERED_BYTES: usize = 1024 * 1024;
/// Chunks (of 32 to 64 KiB) between the HTTP thread and the worker.
const CHANNEL_CHUNKS: usize = 16;
/// Longest pause of a sender within a body.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of a refused insert's body is still read, so that its sender gets to see the answer.
const DRAINED_BYTES: usize = 16 * 1024 * 1024;

type Chunk = Result<Bytes, String>;

/// The worker's end: blocks until the next bytes are there.
pub(super) struct BodyReader {
    buffered: VecDeque<Bytes>,
    rest: Option<mpsc::Receiver<Chunk>>,
}

impl BodyReader {
    /// A body without bytes.
    #[cfg(test)]
    pub(super) fn empty() -> Self {
        Self { buffered: VecDeque::new(), rest: None }
    }

    /// The first bytes that arrived, for a look at what they are.
    pub(super) fn beginning(&self) -> &[u8] {
        self.buffered.front().map(Bytes::as_ref).unwrap_or_default()
    }

    /// Takes all buffered bytes, for a form, which must be small enough to be buffered whole.
    pub(super) fn take_all(&mut self, complete: bool) -> Result<Vec<u8>, EmbeddedError> {
        if !complete {
            return Err(EmbeddedError::request(
                307,
                format!("a form may hold {BUFFERED_BYTES} bytes at most"),
            ));
        }
        Ok(self.buffered.drain(..).flatten().collect())
    }

    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(chunk) = self.buffered.pop_front() {
            return Ok(Some(chunk));
        }
        let Some(rest) = &mut self.rest else { return Ok(None) };
        match rest.blocking_recv() {
            // An empty chunk marks the end; a channel that closes without it lost its sender.
            Some(Ok(chunk)) if chunk.is_empty() => {
                self.rest = None;
                Ok(None)
            }
            Some(Ok(chunk)) => Ok(Some(chunk)),
            Some(Err(reason)) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason)),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client closed the connection")),
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(mut chunk) = self.next_chunk()? else { return Ok(0) };
            if chunk.is_empty() {
                continue;
            }
            let count = chunk.len().min(out.len());
            let taken = chunk.split_to(count);
            out.get_mut(..count).unwrap_or_default().copy_from_slice(&taken);
            if !chunk.is_empty() {
                self.buffered.push_front(chunk);
            }
            return Ok(count);
        }
    }
}

/// The HTTP thread's end for what was not buffered.
pub(super) struct BodyRest {
    incoming: Incoming,
    chunks: mpsc::Sender<Chunk>,
}

/// Reads the beginning of `payload`. `None` beside the reader when that was all of it.
///
/// # Errors
/// Why the body broke off.
pub(super) async fn receive(
    payload: web::Payload,
    quick_ack: QuickAck,
) -> Result<(BodyReader, Option<BodyRest>), String> {
    let mut incoming = Incoming { payload, quick_ack };
    let mut buffered = VecDeque::new();
    let mut size = 0;
    while size < BUFFERED_BYTES {
        let Some(chunk) = incoming.next().await? else {
            return Ok((BodyReader { buffered, rest: None }, None));
        };
        size += chunk.len();
        buffered.push_back(chunk);
    }
    let (chunks, rest) = mpsc::channel(CHANNEL_CHUNKS);
    Ok((BodyReader { buffered, rest: Some(rest) }, Some(BodyRest { incoming, chunks })))
}

impl BodyRest {
    /// Sends the rest on until it ends, breaks off, or the worker wants no more.
    pub(super) async fn forward(mut self) {
        loop {
            let (chunk, last) = match self.incoming.next().await {
                Ok(Some(chunk)) => (Ok(chunk), false),
                Ok(None) => (Ok(Bytes::new()), true),
                Err(reason) => (Err(reason), true),
            };
            if self.chunks.send(chunk).await.is_err() && !last {
                return drain(self.incoming).await;
            }
            if last {
                return;
            }
        }
    }
}

async fn drain(mut incoming: Incoming) {
    let mut left = DRAINED_BYTES;
    while let Ok(Some(chunk)) = incoming.next().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            return;
        }
    }
}

/// A body on its way in.
struct Incoming {
    payload: web::Payload,
    quick_ack: QuickAck,
}

impl Incoming {
    /// The next chunk that holds anything; `None` at the body's proper end.
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            self.quick_ack.now();
            match tokio::time::timeout(IDLE_TIMEOUT, self.payload.next()).await {
                Err(_) => return Err(format!("nothing was sent for {} s", IDLE_TIMEOUT.as_secs())),
                Ok(None) => return Ok(None),
                Ok(Some(Ok(chunk))) if chunk.is_empty() => {}
                Ok(Some(Ok(chunk))) => return Ok(Some(chunk)),
                Ok(Some(Err(error))) => return Err(error.to_string()),
            }
        }
    }
}
