//! Every task and thread of a service has a name, is counted, and is waited for at shutdown. A panic in one is logged
//! under its name and counted; it never disappears with a dropped handle.
//!
//! This is the only place that may spawn on tokio (clippy refuses it elsewhere). [`Tasks`] is cheap to clone: clones
//! count together.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Spawns and counts the tasks and threads of a process.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    counts: Arc<Mutex<BTreeMap<&'static str, TaskCounts>>>,
}

/// What became of the tasks and threads of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Running now.
    pub running: u64,
    /// Ended by a panic.
    pub panicked: u64,
    /// Spawned in the background: nobody waits for them.
    pub background: bool,
}

/// Some tasks did not end within the limit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("still running after {limit:?}: {}", names.join(", "))]
pub struct StillRunning {
    /// How long was waited.
    pub limit: Duration,
    /// Names of the tasks and threads that have not ended, sorted.
    pub names: Vec<&'static str>,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a future as a task of the current tokio runtime. A panic in it is logged, counted, and given to whoever
    /// awaits the handle; dropping the handle lets the task run on.
    #[allow(clippy::disallowed_methods)]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.tracker.track_future(self.watched(name, future)))
    }

    /// As [`Tasks::spawn`], for tasks that serve until the very end of the process (the admin server, the signal
    /// listener): counted, but [`Tasks::wait`] does not wait for them.
    #[allow(clippy::disallowed_methods)]
    pub fn spawn_background<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.count(name, |counts| counts.background = true);
        tokio::spawn(self.watched(name, future))
    }

    /// Runs a closure on an operating system thread of its own, counted and waited for as a task is.
    ///
    /// # Errors
    /// The system's, when it refuses a thread.
    pub fn spawn_thread<T, F>(
        &self,
        name: &'static str,
        run: F,
    ) -> std::io::Result<std::thread::JoinHandle<T>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let running = Running::start(self.clone(), name);
        let token = self.tracker.token();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(run));
            let value = running.finish(outcome);
            drop(token);
            value
        })
    }

    /// Waits until every task and thread has ended, at most for `limit`.
    ///
    /// # Errors
    /// The names of those that have not.
    pub async fn wait(&self, limit: Duration) -> Result<(), StillRunning> {
        self.tracker.close();
        match tokio::time::timeout(limit, self.tracker.wait()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(StillRunning { limit, names: self.waited_for() }),
        }
    }

    /// What became of the tasks, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, TaskCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn waited_for(&self) -> Vec<&'static str> {
        let waited_for = |counts: &TaskCounts| counts.running > 0 && !counts.background;
        self.counts().into_iter().filter(|(_, counts)| waited_for(counts)).map(|(name, _)| name).collect()
    }

    fn watched<F: Future>(&self, name: &'static str, future: F) -> impl Future<Output = F::Output> + use<F> {
        let running = Running::start(self.clone(), name);
        async move { running.finish(AssertUnwindSafe(future).catch_unwind().await) }
    }

    fn count(&self, name: &'static str, change: impl FnOnce(&mut TaskCounts)) {
        change(self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default());
    }
}

/// Counts a task as running until it is dropped, which also happens when the task is aborted.
struct Running {
    tasks: Tasks,
    name: &'static str,
}

impl Running {
    fn start(tasks: Tasks, name: &'static str) -> Self {
        tasks.count(name, |counts| counts.running += 1);
        Self { tasks, name }
    }

    fn finish<T>(self, outcome: Result<T, Box<dyn Any + Send>>) -> T {
        match outcome {
            Ok(value) => value,
            Err(panic) => {
                tracing::error!(task = self.name, reason = panic_message(&*panic), "a task panicked");
                self.tasks.count(self.name, |counts| counts.panicked += 1);
                drop(self);
                resume_unwind(panic)
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.count(self.name, |counts| counts.running = counts.running.saturating_sub(1));
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// A task that belongs to the process, not to a service: the listener for signals.
#[allow(clippy::disallowed_methods)]
pub(crate) fn spawn_for_the_process(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_given_to_whoever_awaits_it() {
        let tasks = Tasks::new();
        let error = tasks.spawn("broken", async { panic!("no such partition") }).await.unwrap_err();
        assert!(error.is_panic());
        assert_eq!(tasks.counts()["broken"], TaskCounts { panicked: 1, ..TaskCounts::default() });
    }

    #[tokio::test]
    async fn waiting_ends_when_all_tasks_and_threads_have_ended() {
        let tasks = Tasks::new();
        let (send, receive) = tokio::sync::oneshot::channel::<u32>();
        let task = tasks.spawn("reader", receive);
        let thread = tasks.spawn_thread("writer", move || send.send(7).is_ok()).unwrap();
        tasks.wait(Duration::from_secs(10)).await.unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 7);
        assert!(thread.join().unwrap());
    }

    #[tokio::test]
    async fn a_panicking_thread_does_not_hold_up_the_end() {
        let tasks = Tasks::new();
        let thread = tasks.spawn_thread("broken", || panic!("disk")).unwrap();
        tasks.wait(Duration::from_secs(10)).await.unwrap();
        assert!(thread.join().is_err());
        assert_eq!(tasks.counts()["broken"].panicked, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_outlast_the_limit_are_named_and_background_ones_are_not_waited_for() {
        let tasks = Tasks::new();
        let _server = tasks.spawn_background("server", std::future::pending::<()>());
        tasks.wait(Duration::from_secs(1)).await.unwrap();
        let stuck = tasks.spawn("stuck", std::future::pending::<()>());
        let error = tasks.wait(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.names, ["stuck"]);
        stuck.abort();
        tasks.wait(Duration::from_secs(1)).await.unwrap();
    }
}
