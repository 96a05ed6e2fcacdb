//! Keeps the salts of visitors without an id: writes the days' salts that are missing, forgets those of past days, and
//! tells the collector. Nothing is written while no site of the plan is `cookieless`.

use std::sync::Arc;
use std::time::Duration;

use event_log::salts::{SaltTopic, Salts, keep_up};
use funnel::Plan;
use runtime::now_ms;
use tokio::sync::watch;

use crate::process::Process;

/// How often it is looked whether a salt is missing or past.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

type Plans = watch::Receiver<Option<Arc<Plan>>>;
type Known = watch::Receiver<Option<Arc<Salts>>>;

/// Keeps them in the background.
pub(crate) fn keep(process: &Process, topic: Arc<dyn SaltTopic>, plan: Plans) -> Known {
    let known = topic.known();
    let of_process = process.clone();
    drop(process.tasks.spawn("salts", async move { look_after(&of_process, &topic, plan).await }));
    known
}

/// The same for a topic that is there only now: what it knows goes to `sender`.
pub(crate) async fn pass_on(
    process: &Process,
    topic: Arc<dyn SaltTopic>,
    plan: Plans,
    sender: watch::Sender<Option<Arc<Salts>>>,
) {
    let mut known = topic.known();
    let passed_on = async {
        loop {
            sender.send_replace(known.borrow_and_update().clone());
            if known.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = passed_on => {}
        () = look_after(process, &topic, plan) => {}
    }
}

/// Until a stop is asked for. A plan with a first such site, and a topic that was read for the first time, do not wait.
async fn look_after(process: &Process, topic: &Arc<dyn SaltTopic>, mut plan: Plans) {
    let mut known = topic.known();
    loop {
        let are_wanted = plan.borrow_and_update().as_ref().is_some_and(|plan| is_cookieless(plan));
        known.borrow_and_update();
        let kept = topic.clone();
        // Storing blocks.
        let kept = tokio::task::spawn_blocking(move || keep_up(kept.as_ref(), now_ms(), are_wanted));
        if let Ok(Err(error)) = kept.await {
            tracing::warn!(%error, "a salt could not be written; tried again");
        }
        tokio::select! {
            () = process.shutdown.requested() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            changed = plan.changed() => if changed.is_err() { return },
            changed = known.changed() => if changed.is_err() { return },
        }
    }
}

fn is_cookieless(plan: &Plan) -> bool {
    plan.sites.iter().any(|site| site.policy.cookieless)
}
