//! Ready means that ClickHouse answered once. An outage later does not make the console unready: it says so in each
//! answer, and taking it out of a load balancer would help nobody.

use std::sync::Arc;
use std::time::Duration;

use runtime::{Health, Shutdown, Tasks};

use crate::source::NumberSource;

const RETRY: Duration = Duration::from_secs(1);

/// Declares the condition and asks until it holds.
pub(crate) fn watch(tasks: &Tasks, health: &Health, source: Arc<dyn NumberSource>, shutdown: Shutdown) {
    let answered = health.condition("ClickHouse answered");
    drop(tasks.spawn("console readiness", async move {
        let asking = async {
            while let Err(error) = source.ping().await {
                tracing::warn!(%error, "ClickHouse does not answer yet");
                tokio::time::sleep(RETRY).await;
            }
        };
        tokio::select! {
            () = asking => answered.set(true),
            () = shutdown.requested() => {}
        }
    }));
}
