//! `rungs_tasks` and `rungs_task_panics_total`: what runs in the process, read from [`Tasks`] at scrape.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::metrics::{MetricKind, Metrics, MetricsError};
use crate::tasks::Tasks;

impl Tasks {
    /// Exports what became of the tasks, by name.
    ///
    /// # Errors
    /// When another `Tasks` is registered already.
    pub fn register(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        let running = Opts::new("rungs_tasks", "Tasks and threads that are running.");
        let panics = Opts::new("rungs_task_panics_total", "Tasks and threads that ended by a panic.");
        let collector = TaskCollector {
            tasks: self.clone(),
            running: IntGaugeVec::new(running, &["task"])?,
            panics: IntCounterVec::new(panics, &["task"])?,
        };
        metrics.register_collector(Box::new(collector), |name| match name {
            "rungs_tasks" => MetricKind::Gauge,
            _ => MetricKind::Counter,
        })
    }
}

struct TaskCollector {
    tasks: Tasks,
    running: IntGaugeVec,
    panics: IntCounterVec,
}

impl Collector for TaskCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.running.desc(), self.panics.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (name, counts) in self.tasks.counts() {
            self.running.with_label_values(&[name]).set(i64::try_from(counts.running).unwrap_or(i64::MAX));
            let panics = self.panics.with_label_values(&[name]);
            panics.inc_by(counts.panicked.saturating_sub(panics.get()));
        }
        [self.running.collect(), self.panics.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_are_exported_by_name() {
        let (tasks, metrics) = (Tasks::new(), Metrics::new().unwrap());
        tasks.register(&metrics).unwrap();
        let _reader = tasks.spawn("reader", std::future::pending::<()>());
        assert!(tasks.spawn("writer", async { panic!("disk") }).await.is_err());
        for _ in 0..2 {
            let text = String::from_utf8(metrics.render().unwrap()).unwrap();
            assert!(text.contains("rungs_tasks{task=\"reader\"} 1"), "{text}");
            assert!(text.contains("rungs_tasks{task=\"writer\"} 0"), "{text}");
            assert!(text.contains("rungs_task_panics_total{task=\"writer\"} 1"), "{text}");
        }
    }
}
