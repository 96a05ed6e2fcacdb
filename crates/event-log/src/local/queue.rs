//! The bounded queue between publishers and the writer thread. A publish costs one lock and one push; the writer is
//! signalled only while it sleeps, so under load there is no system call per publish. Calls that arrive while a
//! group is on its way to the disk wait here and become the next group.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{Message, PublishError};

/// One publish call.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) messages: Vec<Message>,
    /// What it counts against the bounds.
    pub(super) bytes: u64,
    pub(super) answer: oneshot::Sender<Result<(), PublishError>>,
}

impl Request {
    /// The values and what holding them in memory costs, so that empty messages are bounded too.
    pub(super) fn bytes_of(messages: &[Message]) -> u64 {
        let values: usize = messages.iter().map(|message| message.value.len()).sum();
        (values + size_of_val(messages)) as u64
    }
}

/// What the writer finds when it looks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// Go on.
    Work,
    /// Closed, and every request was taken.
    Closed,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    signal: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<Request>,
    /// Of requests that were not answered yet, queued or on their way to the disk.
    bytes: u64,
    closed: bool,
    sleeping: bool,
    nudged: bool,
}

impl Queue {
    /// Queues a request. `stored` bytes count against `max_bytes` beside the queued ones.
    pub(super) fn push(
        &self,
        request: Request,
        stored: u64,
        max_bytes: u64,
        max_queued_bytes: u64,
    ) -> Result<(), PublishError> {
        let mut state = self.lock();
        if state.closed {
            return Err(PublishError::Closed);
        }
        let bytes = state.bytes + request.bytes;
        if bytes > max_queued_bytes {
            return Err(PublishError::Full { limit: "[log] max_queued" });
        }
        if stored.saturating_add(bytes) > max_bytes {
            return Err(PublishError::Full { limit: "[log] max_size" });
        }
        state.bytes = bytes;
        state.requests.push_back(request);
        self.wake(state);
        Ok(())
    }

    /// Wakes the writer although there is nothing to write, e.g. to remove released records.
    pub(super) fn nudge(&self) {
        let mut state = self.lock();
        state.nudged = true;
        self.wake(state);
    }

    /// Refuses further requests; the writer ends once it took the queued ones.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    /// Closes and drops what is queued, which answers it as closed: there is no writer any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        let requests = std::mem::take(&mut state.requests);
        drop(state);
        drop(requests);
    }

    /// Moves all requests to `taken`, which is empty. Sleeps while there are none, at most for `patience`.
    pub(super) fn take(&self, taken: &mut VecDeque<Request>, patience: Duration) -> Wake {
        let mut state = self.lock();
        if state.requests.is_empty() && !state.closed && !state.nudged {
            state.sleeping = true;
            let woken = self.signal.wait_timeout_while(state, patience, |state| {
                state.requests.is_empty() && !state.closed && !state.nudged
            });
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.sleeping = false;
        }
        state.nudged = false;
        std::mem::swap(&mut state.requests, taken);
        if taken.is_empty() && state.closed { Wake::Closed } else { Wake::Work }
    }

    /// Bytes of the requests that were not answered yet.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// `bytes` of taken requests were answered.
    pub(super) fn answered(&self, bytes: u64) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        let sleeping = state.sleeping;
        drop(state);
        if sleeping {
            self.signal.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
