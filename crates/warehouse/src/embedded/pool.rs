//! Worker threads, each with an engine connection of its own, and the bounded queue before them.
//!
//! The engine runs one statement a connection and blocks the thread that asked, so queries run here, never on the HTTP
//! threads. The first worker takes inserts only: long reports, however many, cannot hold up the writer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::EmbeddedError;
use super::execute::Job;
use super::session::Session;

/// Queries that may wait for a worker; one more is answered with 503.
const QUEUE_LIMIT: usize = 64;

/// The workers. Dropping it without [`stop`](Self::stop) lets the threads end by themselves, after the queue.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The sending end; cheap to clone into the HTTP threads.
#[derive(Clone)]
pub(super) struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    stopping: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job this worker may take; `None` when the pool stops and nothing is left for it.
    fn take(&self, inserts_only: bool) -> Option<Job> {
        let mut state = self.lock();
        loop {
            let at = state.jobs.iter().position(|job| job.is_insert || !inserts_only);
            if let Some(job) = at.and_then(|at| state.jobs.remove(at)) {
                return Some(job);
            }
            if state.stopping {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Pool {
    /// Starts a thread a session. With more than one, the first is kept for inserts.
    pub(super) fn start(sessions: Vec<Session>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let reserve = sessions.len() > 1;
        let mut pool = Self { shared: Arc::clone(&shared), threads: Vec::new() };
        for (index, session) in sessions.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            let work = move || run(&shared, session, reserve && index == 0);
            pool.threads.push(std::thread::Builder::new().name(format!("clickhouse-{index}")).spawn(work)?);
        }
        Ok(pool)
    }

    pub(super) fn queue(&self) -> Queue {
        Queue { shared: Arc::clone(&self.shared) }
    }

    /// Finishes what is queued and running, closes every connection. Blocks; the engine stops with the last one.
    pub(super) fn stop(mut self) {
        self.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker of the embedded ClickHouse panicked");
            }
        }
    }

    fn close(&self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    /// # Errors
    /// [`EmbeddedError::Busy`] when the queue is full, [`EmbeddedError::ShuttingDown`] when no worker takes jobs.
    pub(super) fn push(&self, job: Job) -> Result<(), EmbeddedError> {
        let mut state = self.shared.lock();
        if state.stopping {
            return Err(EmbeddedError::ShuttingDown);
        }
        if state.jobs.len() >= QUEUE_LIMIT {
            return Err(EmbeddedError::Busy { queued: state.jobs.len() });
        }
        state.jobs.push_back(job);
        drop(state);
        // All are woken because the one that wakes may not be allowed to take this job.
        self.shared.changed.notify_all();
        Ok(())
    }
}

fn run(shared: &Shared, mut session: Session, inserts_only: bool) {
    while let Some(job) = shared.take(inserts_only) {
        job.run(&mut session);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::embedded::body::BodyReader;
    use crate::embedded::request::Request;

    fn job(is_insert: bool) -> Job {
        let (replies, _) = mpsc::channel(1);
        Job { request: Request::default(), body: BodyReader::empty(), is_insert, replies }
    }

    #[test]
    fn a_full_queue_refuses_and_a_stopping_one_says_so() {
        let pool = Pool::start(Vec::new()).unwrap();
        let queue = pool.queue();
        for _ in 0..QUEUE_LIMIT {
            queue.push(job(false)).unwrap();
        }
        assert!(matches!(queue.push(job(false)), Err(EmbeddedError::Busy { queued: QUEUE_LIMIT })));
        pool.stop();
        assert!(matches!(queue.push(job(false)), Err(EmbeddedError::ShuttingDown)));
    }

    #[test]
    fn the_reserved_worker_passes_over_selects() {
        let pool = Pool::start(Vec::new()).unwrap();
        pool.queue().push(job(false)).unwrap();
        pool.queue().push(job(true)).unwrap();
        assert!(pool.shared.take(true).unwrap().is_insert);
        assert!(!pool.shared.take(false).unwrap().is_insert);
        pool.close();
        assert!(pool.shared.take(true).is_none());
    }
}
