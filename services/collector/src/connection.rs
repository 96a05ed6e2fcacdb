//! A client's connection as the HTTP server reads and writes it, which ends those that only hold a place: a head that comes a
//! byte at a time, also where requests came before it on the same connection; a client that neither asks nor goes; one
//! that does not take its answers. The server itself limits the time of the first head only, and of a quiet connection.
//!
//! Made by `listener` for every connection, with its [`Place`]; `receive` tells it from when to when a request is handled
//! ([`Phase`]): a body has its own limit of time. What is over is read as if the client had closed.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{ANSWER_TIMEOUT_MS, KEEP_ALIVE_MS};
use crate::places::Place;

const ANSWER_TIMEOUT: Duration = Duration::from_millis(ANSWER_TIMEOUT_MS);
const KEEP_ALIVE: Duration = Duration::from_millis(KEEP_ALIVE_MS);

/// A connection that has a place.
pub(crate) struct Connection<S> {
    stream: S,
    phase: Phase,
    /// From the first byte of a head to its last, at most.
    head_timeout: Duration,
    /// Since when it takes no more of its answers.
    stalled_since: Option<Instant>,
    /// Wakes the server's task to look at the time; not set anew for every request.
    alarm: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

/// Where a connection is between two requests. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Phase(Rc<Times>);

#[derive(Debug)]
struct Times {
    is_handling: Cell<bool>,
    /// When it was opened, or the last request was answered.
    free_since: Cell<Instant>,
    /// When the first byte came since.
    head_since: Cell<Option<Instant>>,
}

/// While it lives, a request is handled.
#[derive(Debug)]
pub(crate) struct Handling(Phase);

impl Phase {
    fn new() -> Self {
        let (free_since, head_since) = (Cell::new(Instant::now()), Cell::new(None));
        Self(Rc::new(Times { is_handling: Cell::new(false), free_since, head_since }))
    }

    /// A head is here: its request is handled from now on.
    pub(crate) fn handle(&self) -> Handling {
        self.0.is_handling.set(true);
        self.0.head_since.set(None);
        Handling(self.clone())
    }

    fn bytes_came(&self) {
        if !self.0.is_handling.get() && self.0.head_since.get().is_none() {
            self.0.head_since.set(Some(Instant::now()));
        }
    }

    /// When the next head must be here; none while a request is handled. Of a head that began within the request before it
    /// no byte may come now: it has as long as a quiet connection and a head.
    fn deadline(&self, head_timeout: Duration) -> Option<Instant> {
        if self.0.is_handling.get() {
            return None;
        }
        let of_quiet = self.0.free_since.get() + KEEP_ALIVE + head_timeout;
        Some(self.0.head_since.get().map_or(of_quiet, |since| of_quiet.min(since + head_timeout)))
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.0.is_handling.set(false);
        self.0.0.free_since.set(Instant::now());
    }
}

impl<S> Connection<S> {
    pub(crate) fn new(stream: S, head_timeout: Duration, place: Place) -> Self {
        Self { stream, phase: Phase::new(), head_timeout, stalled_since: None, alarm: None, _place: place }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.clone()
    }

    /// Whether a deadline has passed; if not, the task is woken to ask again. The alarm is at most a head's time away, and
    /// then stands for whatever has become of the connection by then.
    fn is_past(&mut self, deadline: Instant, context: &mut Context<'_>) -> bool {
        let now = Instant::now();
        if now >= deadline {
            return true;
        }
        let next = deadline.min(now + self.head_timeout);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(next)));
        if alarm.is_elapsed() || alarm.deadline() > deadline {
            alarm.as_mut().reset(next);
        }
        alarm.as_mut().poll(context).is_ready()
    }

    /// What came of writing: where nothing could be written for too long, the client will not take its answers.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled_since = None;
            return written;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        if self.is_past(since + ANSWER_TIMEOUT, context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before {
                this.phase.bytes_came();
            }
            return read;
        }
        match this.phase.deadline(this.head_timeout) {
            Some(deadline) if this.is_past(deadline, context) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.get_mut().stream).poll_flush(context))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::places::Places;

    const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

    fn connection() -> (Connection<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        let place = Places::unlimited().take([127, 0, 0, 1].into()).unwrap();
        (Connection::new(ours, HEAD_TIMEOUT, place), theirs)
    }

    /// How long a client that drips a byte every four seconds is read, in seconds.
    async fn seconds_of_dripping(connection: &mut Connection<DuplexStream>, mut client: DuplexStream) -> u64 {
        let began = Instant::now();
        let drip = async {
            loop {
                tokio::time::sleep(Duration::from_secs(4)).await;
                if client.write_all(b"x").await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let read = async { while connection.read_u8().await.is_ok() {} };
        tokio::select! {
            () = drip => {}
            () = read => {}
        }
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_whatever_was_before_it() {
        let (mut connection, client) = connection();
        assert_eq!(seconds_of_dripping(&mut connection, client).await, 14);

        let (mut connection, mut client) = self::connection();
        for _ in 0..3 {
            client.write_all(b"request").await.unwrap();
            connection.read_exact(&mut [0; 7]).await.unwrap();
            drop(connection.phase().handle());
        }
        assert_eq!(seconds_of_dripping(&mut connection, client).await, 14);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_handled_has_no_deadline_here() {
        let (mut connection, mut client) = connection();
        client.write_all(b"head").await.unwrap();
        connection.read_exact(&mut [0; 4]).await.unwrap();
        let handling = connection.phase().handle();
        let body = tokio::time::timeout(Duration::from_secs(1_000), connection.read_u8()).await;
        assert!(body.is_err(), "still open");
        drop(handling);
        let began = Instant::now();
        assert_eq!(connection.read(&mut [0; 4]).await.unwrap(), 0);
        assert_eq!(began.elapsed().as_secs(), 85, "quiet since its answer");
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_answers_is_given_up_and_who_takes_them_slowly_is_not() {
        let (mut connection, client) = connection();
        let began = Instant::now();
        let error = connection.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
        drop(client);

        let (mut connection, mut client) = self::connection();
        let take = async {
            for _ in 0..15 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                client.read_exact(&mut [0; 64]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(connection.write_all(&[0; 1_000]), take);
        written.unwrap();
    }
}
