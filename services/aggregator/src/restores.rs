//! The restores of a process's partitions: a few at a time, and before any of these partitions reads on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// Partitions that read their journeys back at the same time: more would only share ClickHouse and memory.
const AT_ONCE: usize = 2;
/// A partition that is restored reads on when the others are restored too, or after this long. Reading on takes the
/// processor from their restores, and no funnel's numbers are whole before all its partitions are back.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// Whose turn it is.
pub(crate) struct Restores {
    turns: Semaphore,
    outstanding: Arc<watch::Sender<usize>>,
}

/// A partition that is to be restored; dropping it says that it is, or will not be.
pub(crate) struct Outstanding(Arc<watch::Sender<usize>>);

impl Default for Restores {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), outstanding: Arc::default() }
    }
}

impl Restores {
    /// To be called of all partitions that come together before the first of them is restored.
    pub(crate) fn expect(&self) -> Outstanding {
        self.outstanding.send_modify(|count| *count += 1);
        Outstanding(Arc::clone(&self.outstanding))
    }

    /// Waits for a partition's turn; it is over when this is dropped.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// Waits for the others, at most [`WAIT_LIMIT`].
    pub(crate) async fn others(&self) {
        let mut outstanding = self.outstanding.subscribe();
        drop(tokio::time::timeout(WAIT_LIMIT, outstanding.wait_for(|count| *count == 0)).await);
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_partition_waits_for_the_others_and_for_a_slow_one_not_long() {
        let restores = Restores::default();
        let began = Instant::now();
        restores.others().await;
        assert_eq!(began.elapsed(), Duration::ZERO, "there are none");

        let (quick, slow) = (restores.expect(), restores.expect());
        let restore = async {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(quick);
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(slow);
        };
        tokio::join!(restores.others(), restore);
        assert_eq!(began.elapsed(), Duration::from_secs(2));

        let _stuck = restores.expect();
        restores.others().await;
        assert_eq!(began.elapsed(), Duration::from_secs(2) + WAIT_LIMIT);
    }
}
