//! The plan file of `rungs up`: applied at the start when it differs from the plan in force, then watched. A valid change
//! is applied; one with mistakes changes nothing and every mistake is shown. The system's notifications make it quick,
//! a look at the file every two seconds makes it sure (network drives, editors that replace the folder's entry). A change
//! that could not be read or stored is tried again at every look, and told once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use runtime::Shutdown;
use tokio::sync::mpsc;

use super::difference::Comparison;
use super::in_force::{Applied, ApplyError, PlanInForce};
use crate::failure::Failure;
use crate::problems;

/// Editors write a file in several steps; what follows within this time belongs to the same change.
const DEBOUNCE: Duration = Duration::from_millis(200);
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A tracking plan that people edit.
pub(crate) struct PlanFile {
    path: PathBuf,
    /// As last read; `None` where it was not, or is to be looked at again.
    stamp: Option<Stamp>,
    text: String,
    /// What could not be done with the file, and was told: reading it, or applying a text.
    failing: Option<Failing>,
}

#[derive(Debug, PartialEq, Eq)]
enum Failing {
    Reading,
    Applying(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl PlanFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, stamp: None, text: String::new(), failing: None }
    }

    /// Applies the file as it is now.
    ///
    /// # Errors
    /// When it cannot be read, or has mistakes and there is no plan in force to go on with.
    pub(crate) async fn apply_first(mut self, plans: &PlanInForce) -> Result<Self, Failure> {
        let name = self.name();
        let unreadable = |error| Failure::new(format!("the plan {name} cannot be read: {error}"));
        self.stamp = stamp(&self.path);
        self.text = tokio::fs::read_to_string(&self.path).await.map_err(unreadable)?;
        self.tell_changes(plans, &self.text);
        match plans.apply(&name, &self.text).await {
            Err(ApplyError::Invalid(found)) => {
                let shown = problems::render(&found, &self.text);
                let Some(latest) = plans.latest() else {
                    return Err(Failure::new(format!("the plan cannot be used\n{shown}")));
                };
                eprintln!("{shown}; plan {} stays in force until it is corrected", latest.number);
            }
            Ok(_) | Err(ApplyError::NotAnnounced { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self)
    }

    /// Applies every change until a stop is asked for.
    pub(crate) async fn watch(mut self, plans: Arc<PlanInForce>, shutdown: Shutdown) {
        let (sender, mut changes) = mpsc::channel(1);
        let watcher = notifications(&self.path, sender);
        if let Err(error) = &watcher {
            tracing::info!(%error, "no notifications of changes; the plan is looked at every 2 s");
        }
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                Some(()) = changes.recv() => {
                    tokio::time::sleep(DEBOUNCE).await;
                    while changes.try_recv().is_ok() {}
                }
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if let Some(text) = self.changed().await {
                self.apply(&plans, text).await;
            }
        }
    }

    /// The new text, if it is another one.
    async fn changed(&mut self) -> Option<String> {
        let stamp = stamp(&self.path);
        if stamp == self.stamp {
            return None;
        }
        if stamp.is_none() {
            tracing::warn!(file = %self.path.display(), "the plan file is gone; the plan in force stays");
            self.stamp = None;
            return None;
        }
        match tokio::fs::read_to_string(&self.path).await {
            Ok(text) => {
                self.stamp = stamp;
                self.failing.take_if(|failing| *failing == Failing::Reading);
                (text != self.text).then_some(text)
            }
            Err(error) => {
                if self.is_news(Failing::Reading) {
                    tracing::error!(%error, file = %self.path.display(), "the plan file cannot be read; trying again");
                }
                None
            }
        }
    }

    async fn apply(&mut self, plans: &PlanInForce, text: String) {
        let is_tried_again = matches!(&self.failing, Some(Failing::Applying(tried)) if *tried == text);
        if !is_tried_again {
            self.tell_changes(plans, &text);
        }
        match plans.apply(&self.name(), &text).await {
            Ok(Applied { number, changed: true }) => eprintln!("{}: plan {number} is in force", self.name()),
            Ok(_) => {}
            Err(ApplyError::Invalid(found)) => {
                eprintln!("{}; nothing was changed", problems::render(&found, &text));
            }
            // It is stored, and announced by whoever keeps it announced.
            Err(error @ ApplyError::NotAnnounced { .. }) => {
                tracing::warn!(%error, "the changed plan file is not in force yet");
            }
            Err(error @ (ApplyError::Topic(_) | ApplyError::Ending)) => {
                // No fault of the text: the next look finds it changed again.
                self.stamp = None;
                if self.is_news(Failing::Applying(text)) {
                    tracing::error!(%error, "the changed plan file could not be applied; trying again");
                }
                return;
            }
        }
        (self.text, self.failing) = (text, None);
    }

    /// Notes what fails; whether it was not told yet.
    fn is_news(&mut self, failing: Failing) -> bool {
        let is_news = self.failing.as_ref() != Some(&failing);
        self.failing = Some(failing);
        is_news
    }

    /// The file is the whole plan, so what it does not name ends: also what was applied by hand.
    fn tell_changes(&self, plans: &PlanInForce, text: &str) {
        let in_force = plans.latest().map(|plan| plan.as_ref().clone().into());
        // Mistakes are told by whoever applies it.
        if let Ok(comparison) = Comparison::of(in_force.as_ref(), &self.name(), text)
            && !comparison.text().is_empty()
        {
            eprint!("{} is applied. {}", self.name(), comparison.text());
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: metadata.modified().ok()?, bytes: metadata.len() })
}

/// Watches the folder: editors often replace the file, and a watch on it would stay with the old one.
fn notifications(path: &Path, changes: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |_: notify::Result<notify::Event>| {
        // Full means that a look at the file is due already.
        let _ = changes.try_send(());
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
