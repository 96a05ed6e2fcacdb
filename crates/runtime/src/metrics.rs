//! The metrics registry of a process: no globals, so that tests and several services in one process do not meet.
//! Every metric is registered through here and can be listed with its kind, unit and labels, which is how the docs'
//! list of metrics is kept complete.
//!
//! Names follow Prometheus' conventions (base units, `_total` for counters), and so the unit is read from the name.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// A name, label or registration that Prometheus refuses: a mistake in the program, found when a service starts.
pub type MetricsError = prometheus::Error;

/// The registry and the list of what is in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    list: Arc<Mutex<Vec<MetricInfo>>>,
}

/// A metric family as docs list it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricInfo {
    pub name: String,
    pub kind: MetricKind,
    /// What it means.
    pub help: String,
    /// Names of the labels.
    pub labels: Vec<String>,
}

/// A kind of metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricInfo {
    /// `seconds`, `bytes`, `ratio`, or `1` for plain counts: what the name says.
    pub fn unit(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(&self.name);
        ["seconds", "bytes", "ratio"].into_iter().find(|unit| name.ends_with(unit)).unwrap_or("1")
    }
}

impl MetricKind {
    /// As the text format writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Metrics {
    /// A registry with the process's own metrics and `rungs_build_info`.
    ///
    /// # Errors
    /// Only if this file names a metric wrongly.
    pub fn new() -> Result<Self, MetricsError> {
        let metrics = Self { registry: Registry::new(), list: Arc::default() };
        metrics.register_process()?;
        let build =
            metrics.gauge_vec("rungs_build_info", "The running build; always 1.", &["version", "commit"])?;
        build.with_label_values(&[crate::VERSION, crate::COMMIT]).set(1);
        Ok(metrics)
    }

    /// A counter. Its name ends in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        self.register(MetricKind::Counter, IntCounter::new(name, help)?)
    }

    /// A counter by labels.
    pub fn counter_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, MetricsError> {
        self.register(MetricKind::Counter, IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge of whole numbers.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        self.register(MetricKind::Gauge, IntGauge::new(name, help)?)
    }

    /// A gauge of whole numbers by labels.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, MetricsError> {
        self.register(MetricKind::Gauge, IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge of fractions, e.g. seconds.
    pub fn float_gauge(&self, name: &str, help: &str) -> Result<Gauge, MetricsError> {
        self.register(MetricKind::Gauge, Gauge::new(name, help)?)
    }

    /// A gauge of fractions by labels.
    pub fn float_gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, MetricsError> {
        self.register(MetricKind::Gauge, GaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A histogram with these upper bounds.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, MetricsError> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(MetricKind::Histogram, Histogram::with_opts(options)?)
    }

    /// A histogram by labels, with these upper bounds.
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, MetricsError> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(MetricKind::Histogram, HistogramVec::new(options, labels)?)
    }

    /// Registers a collector whose families are all of one kind, and returns it for use.
    pub fn register<C>(&self, kind: MetricKind, collector: C) -> Result<C, MetricsError>
    where
        C: Collector + Clone + 'static,
    {
        self.register_collector(Box::new(collector.clone()), |_| kind)?;
        Ok(collector)
    }

    /// Registers a collector that renders several families at scrape; `kind` tells each family's from its name.
    pub fn register_collector(
        &self,
        collector: Box<dyn Collector>,
        kind: impl Fn(&str) -> MetricKind,
    ) -> Result<(), MetricsError> {
        let infos: Vec<_> = collector.desc().into_iter().map(|desc| info(desc, &kind)).collect();
        self.registry.register(collector)?;
        self.list.lock().unwrap_or_else(PoisonError::into_inner).extend(infos);
        Ok(())
    }

    /// Every metric family, by name.
    pub fn list(&self) -> Vec<MetricInfo> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner).clone();
        list.sort();
        list
    }

    /// What `/metrics` answers: the text format 0.0.4. Collectors may take a while: not for an event loop.
    ///
    /// # Errors
    /// When a family cannot be encoded, e.g. because a collector made one without a metric.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    #[cfg(target_os = "linux")]
    fn register_process(&self) -> Result<(), MetricsError> {
        use prometheus::process_collector::ProcessCollector;
        self.register_collector(Box::new(ProcessCollector::for_self()), |name| {
            match name.ends_with("_total") {
                true => MetricKind::Counter,
                false => MetricKind::Gauge,
            }
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn register_process(&self) -> Result<(), MetricsError> {
        Ok(())
    }
}

fn info(desc: &prometheus::core::Desc, kind: &impl Fn(&str) -> MetricKind) -> MetricInfo {
    MetricInfo {
        name: desc.fq_name.clone(),
        kind: kind(&desc.fq_name),
        help: desc.help.clone(),
        labels: desc.variable_labels.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_and_listed() {
        let metrics = Metrics::new().unwrap();
        let waits = metrics.histogram_vec("rungs_wait_seconds", "Waits.", &["queue"], &[0.1, 1.0]).unwrap();
        waits.with_label_values(&["spill"]).observe(0.5);
        metrics.counter("rungs_read_bytes_total", "Bytes read.").unwrap().inc_by(3);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("rungs_wait_seconds_bucket{queue=\"spill\",le=\"1\"} 1"), "{text}");
        assert!(text.contains("rungs_read_bytes_total 3"), "{text}");
        assert!(text.contains(&format!("version=\"{}\"", crate::VERSION)), "{text}");

        let list = metrics.list();
        let wait = list.iter().find(|info| info.name == "rungs_wait_seconds").unwrap();
        assert_eq!(
            (wait.kind, wait.unit(), wait.labels.as_slice()),
            (MetricKind::Histogram, "seconds", &["queue".into()][..])
        );
        let read = list.iter().find(|info| info.name == "rungs_read_bytes_total").unwrap();
        assert_eq!((read.kind.as_str(), read.unit()), ("counter", "bytes"));
    }

    #[test]
    fn a_name_can_be_registered_once() {
        let metrics = Metrics::new().unwrap();
        metrics.gauge("rungs_depth", "Depth.").unwrap();
        assert!(metrics.gauge("rungs_depth", "Depth.").is_err());
        assert_eq!(metrics.list().iter().filter(|info| info.name == "rungs_depth").count(), 1);
    }
}
