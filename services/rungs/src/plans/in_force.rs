//! Puts plans in force. **The plan in force is a record, not a file**: [`PlanInForce::apply`] validates a text, appends it
//! to the plan topic under the next number, then writes one control record to every partition, at which the aggregator
//! switches. Called by the file watcher and by `POST /plan`; the one writer of both in a process.
//!
//! A plan with mistakes changes nothing. A crash between the two writes heals at the next start, which announces the
//! latest plan again (the aggregator ignores a number that it has); a log that is full for a while is tried again
//! ([`PlanInForce::keep_announced`]). Kafka may have taken a part of an announcement that failed, so a plan is announced
//! under one generation however often: its partitions would else build new funnels under different ones, and no reader
//! would ever find one that all of them have.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use checked_toml::Problem;
use event_log::{
    Clock, Generations, Message, PlanError, PlanRecord, PlanTopic, PublishError, Publisher, ReadError,
};
use funnel::Plan;
use rungs_proto::v1::{PlanApplied, control::Action};
use runtime::Shutdown;
use tokio::sync::Mutex;

/// How often an announcement that the log refused is tried again.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);

/// The writer of plans.
pub(crate) struct PlanInForce {
    topic: Arc<dyn PlanTopic>,
    publisher: Arc<dyn Publisher>,
    clock: Arc<dyn Clock>,
    generations: Arc<Generations>,
    /// The last number that was announced; locked by one application at a time.
    announced: Mutex<u64>,
}

/// What became of a valid plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The number of the plan in force.
    pub(crate) number: u64,
    /// False: its text was in force already.
    pub(crate) changed: bool,
}

/// Why a plan is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// Nothing was changed.
    #[error("the plan has {} mistakes: {}", .0.len(), .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Problem>),
    /// Nothing was changed.
    #[error(transparent)]
    Topic(#[from] PlanError),
    /// It is in the topic; the aggregator will switch when it is announced again.
    #[error(
        "plan {number} is stored, but the log did not take its announcement yet: {cause}; it is tried again every 2 s"
    )]
    NotAnnounced {
        /// The plan's number.
        number: u64,
        /// What the log said.
        cause: PublishError,
    },
    /// A thread of the process ended; it is shutting down.
    #[error("the plan could not be applied while the process ends")]
    Ending,
}

impl PlanInForce {
    /// `generation` is the largest one that was ever given out.
    pub(crate) fn new(
        topic: Arc<dyn PlanTopic>,
        publisher: Arc<dyn Publisher>,
        clock: Arc<dyn Clock>,
        generation: u64,
    ) -> Self {
        let generations = Arc::new(Generations::after(generation));
        Self { topic, publisher, clock, generations, announced: Mutex::new(0) }
    }

    /// Numbers all that this process begins.
    pub(crate) fn generations(&self) -> Arc<Generations> {
        Arc::clone(&self.generations)
    }

    /// Puts a plan in force, unless its text is already; `file_name` is how mistakes name it.
    pub(crate) async fn apply(&self, file_name: &str, text: &str) -> Result<Applied, ApplyError> {
        Plan::parse(file_name, text).map_err(ApplyError::Invalid)?;
        let mut announced = self.announced.lock().await;
        let latest = self.latest();
        if let Some(latest) = latest.as_deref().filter(|latest| latest.text == text) {
            if *announced < latest.number {
                self.announce(latest, &mut announced).await?;
            }
            return Ok(Applied { number: latest.number, changed: false });
        }
        let number = latest.map_or(0, |latest| latest.number) + 1;
        let applied_at_ms = self.generations.next(self.clock.now_ms()).cast_signed();
        let plan = PlanRecord { number, applied_at_ms, text: text.to_owned() };
        self.append(plan.clone()).await?;
        self.announce(&plan, &mut announced).await?;
        tracing::info!(number, "a tracking plan was put in force");
        Ok(Applied { number, changed: true })
    }

    /// Tells every partition the latest plan again, if there is one.
    pub(crate) async fn announce_latest(&self) -> Result<(), ApplyError> {
        let mut announced = self.announced.lock().await;
        match self.latest() {
            Some(latest) if *announced < latest.number => self.announce(&latest, &mut announced).await,
            _ => Ok(()),
        }
    }

    /// Announces again and again what could not be announced, until the process ends. A log that is full at the start
    /// drains only while the aggregator runs, so this must not hold up the start.
    pub(crate) async fn keep_announced(self: Arc<Self>, shutdown: Shutdown) {
        let mut refused = false;
        loop {
            match self.announce_latest().await {
                Ok(()) => refused = false,
                Err(error) if !refused => {
                    tracing::warn!(%error, "trying again until the log takes it");
                    refused = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(ANNOUNCE_INTERVAL) => {}
            }
        }
    }

    /// The plan with the largest number.
    pub(crate) fn latest(&self) -> Option<Arc<PlanRecord>> {
        self.topic.latest().borrow().clone()
    }

    /// All plans that are kept, oldest first.
    pub(crate) fn history(&self) -> Result<Vec<PlanRecord>, ReadError> {
        self.topic.history()
    }

    /// A plan that is kept, by its number.
    pub(crate) fn numbered(&self, number: u64) -> Result<Option<PlanRecord>, ReadError> {
        Ok(self.history()?.into_iter().find(|plan| plan.number == number))
    }

    /// Appending waits for the disk.
    async fn append(&self, plan: PlanRecord) -> Result<(), ApplyError> {
        let topic = self.topic.clone();
        tokio::task::spawn_blocking(move || topic.append(plan)).await.map_err(|_| ApplyError::Ending)??;
        Ok(())
    }

    /// One record a partition, in one call. The time of application, which is the topic's, names the generation.
    async fn announce(&self, plan: &PlanRecord, announced: &mut u64) -> Result<(), ApplyError> {
        let number = plan.number;
        let (generation, applied) =
            (plan.applied_at_ms.cast_unsigned(), Action::PlanApplied(PlanApplied { number }));
        let value = Bytes::from(rungs_proto::control_record(generation, applied));
        let published = match self.publisher.publish(Message::to_all(self.publisher.partitions(), &value)) {
            Ok(receipt) => receipt.await,
            Err(cause) => Err(cause),
        };
        published.map_err(|cause| ApplyError::NotAnnounced { number, cause })?;
        *announced = number;
        Ok(())
    }
}

#[cfg(test)]
#[path = "in_force_tests.rs"]
mod tests;
