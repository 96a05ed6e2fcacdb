//! The plan topic, read: collector and console get a parsed plan that follows it. A record that this program cannot read
//! (written by a newer one) leaves the plan before it in force, for these two, and is logged.

use std::sync::Arc;

use event_log::PlanRecord;
use funnel::Plan;
use runtime::{Shutdown, Tasks};
use tokio::sync::watch;

/// The plan in force, now and from now on.
pub(crate) fn follow(
    mut records: watch::Receiver<Option<Arc<PlanRecord>>>,
    tasks: &Tasks,
    shutdown: Shutdown,
) -> watch::Receiver<Option<Arc<Plan>>> {
    let (sender, plans) = watch::channel(records.borrow_and_update().as_deref().and_then(parse));
    drop(tasks.spawn("plan topic", async move {
        loop {
            let changed = tokio::select! {
                () = shutdown.requested() => return,
                changed = records.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            if let Some(plan) = records.borrow_and_update().as_deref().and_then(parse) {
                sender.send_replace(Some(plan));
            }
        }
    }));
    plans
}

fn parse(record: &PlanRecord) -> Option<Arc<Plan>> {
    match Plan::parse(&format!("plan {}", record.number), &record.text) {
        Ok(plan) => Some(Arc::new(plan)),
        Err(problems) => {
            for problem in problems {
                tracing::error!(number = record.number, %problem, "the plan in force cannot be read by this version");
            }
            None
        }
    }
}
