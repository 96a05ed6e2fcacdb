//! Waiting for what is away: a broker, a database. Services start whatever the others do, and ask again until they are
//! answered. Called where a service opens its engines and where the aggregator restores a partition.

use std::fmt::Display;
use std::time::Duration;

use crate::shutdown::Shutdown;

/// What is away is asked again after this long.
pub const PAUSE: Duration = Duration::from_secs(1);

/// Attempts until one succeeds, or fails with an error that does not pass by itself; `None` once a stop is asked for,
/// also in the middle of an attempt. `what` names what is waited for in the log.
pub async fn until_it_works<T, E: Display, F: Future<Output = Result<T, E>>>(
    shutdown: &Shutdown,
    what: &str,
    may_pass: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<Option<T>, E> {
    loop {
        let outcome = tokio::select! {
            () = shutdown.requested() => return Ok(None),
            outcome = attempt() => outcome,
        };
        match outcome {
            Ok(done) => return Ok(Some(done)),
            Err(error) if may_pass(&error) => tracing::warn!(%error, "waiting for {what}"),
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = shutdown.requested() => return Ok(None),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_can_pass_is_asked_again_and_what_cannot_is_told() {
        let attempts = AtomicU32::new(0);
        let attempt = || async {
            match attempts.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Err("away"),
                2 => Ok(7),
                _ => Err("refused"),
            }
        };
        let passes = |error: &&str| *error == "away";
        let shutdown = Shutdown::new();
        assert_eq!(until_it_works(&shutdown, "a test", passes, attempt).await, Ok(Some(7)));
        assert_eq!(until_it_works(&shutdown, "a test", passes, attempt).await, Err("refused"));
        assert_eq!(attempts.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait_also_within_an_attempt() {
        let shutdown = Shutdown::new();
        let stop = || async {
            shutdown.request();
            std::future::pending::<Result<(), &str>>().await
        };
        assert_eq!(until_it_works(&shutdown, "a test", |_| true, stop).await, Ok(None));
    }
}
