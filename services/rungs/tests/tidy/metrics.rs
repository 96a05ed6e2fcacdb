//! Metrics: `docs/metrics.md` has every family that the services register with an example, and no document, rule or
//! dashboard names another.

use std::sync::Arc;

use aggregator::counters::LaneCounters;
use aggregator::metrics::FunnelMetrics;
use aggregator::snapshot::Board;
use collector::{Collector, SpillMetrics};
use event_log::SystemClock;
use event_log::local::LocalLogMetrics;
use event_log::memory::MemoryLog;
use rungs_console::{Console, Server, WarehouseSource};
use runtime::metrics::{MetricInfo, MetricKind};
use runtime::settings::{ClickHouseSettings, CollectorSettings, ConsoleSettings};
use runtime::{Health, Metrics, Shutdown, Tasks};
use tokio::sync::watch;
use warehouse::Warehouse;
use warehouse::embedded::ClickHouseMetrics;

use crate::{docs, generated, none, tree};

const LINUX_ONLY: &str = "Linux process metrics";

/// The tables of the document: name, and how the names in it begin.
const TABLES: [(&str, &[&str]); 7] = [
    ("funnel metrics", &["rungs_funnel_"]),
    ("aggregator metrics", &["rungs_aggregator_", "rungs_log_"]),
    ("collector metrics", &["rungs_collector_", "rungs_rejections_"]),
    ("console metrics", &["rungs_console_"]),
    ("engine metrics", &["rungs_local_log_", "rungs_clickhouse_"]),
    ("process metrics", &["rungs_build_", "rungs_task"]),
    (LINUX_ONLY, &["process_"]),
];

/// All families of a process that runs all services.
fn registered() -> Vec<MetricInfo> {
    let any_port = ([127, 0, 0, 1], 0).into();
    let (metrics, tasks, health, shutdown) =
        (Metrics::new().unwrap(), Tasks::new(), Health::new(), Shutdown::new());
    tasks.register(&metrics).unwrap();
    LaneCounters::register(&metrics).unwrap();
    FunnelMetrics::register(&metrics, Board::new(1)).unwrap();
    aggregator::linking::register(&metrics).unwrap();
    let collector = Collector {
        settings: CollectorSettings { listen: any_port, workers: 1, ..CollectorSettings::default() },
        publisher: Arc::new(MemoryLog::new(1, Arc::new(SystemClock))),
        direct: Arc::new(MemoryLog::new(1, Arc::new(SystemClock))),
        plan: watch::channel(None).1,
        warehouse: None,
        salts: watch::channel(None).1,
        generations: Arc::default(),
        rejections: None,
        metrics: &metrics,
        health: health.clone(),
    };
    drop(collector.bind(&shutdown).unwrap());
    SpillMetrics::register(&metrics).unwrap();
    LocalLogMetrics::register(&metrics).unwrap();
    ClickHouseMetrics::register(&metrics, 0).unwrap();
    collector::unkept_rejections(&metrics).unwrap();
    let url = Some("http://127.0.0.1:1".to_owned());
    let warehouse = Warehouse::connect(&ClickHouseSettings { url, ..ClickHouseSettings::default() }).unwrap();
    let console = Console {
        settings: ConsoleSettings { listen: any_port, ..ConsoleSettings::default() },
        source: Arc::new(WarehouseSource::new(warehouse, 0, 0, tasks.clone(), shutdown.clone())),
        plan: watch::channel(None).1,
        tasks,
        metrics: metrics.clone(),
        health,
    };
    drop(Server::bind(console, shutdown.clone()).unwrap());
    shutdown.request();
    metrics.list()
}

fn row(family: &MetricInfo) -> String {
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    let (kind, unit) = (family.kind.as_str(), family.unit());
    format!("| `{}` | {kind} | {unit} | {} | {} |\n", family.name, labels.join(", "), family.help)
}

#[tokio::test]
async fn every_family_is_in_a_table() {
    let families = registered();
    let mut listed = 0;
    for (name, prefixes) in TABLES {
        let of_table = |family: &&MetricInfo| prefixes.iter().any(|prefix| family.name.starts_with(prefix));
        let rows: Vec<String> = families.iter().filter(of_table).map(row).collect();
        listed += rows.len();
        if name == LINUX_ONLY && !cfg!(target_os = "linux") {
            continue;
        }
        let head = "| Metric | Type | Unit | Labels | Meaning |\n|---|---|---|---|---|\n";
        generated::compare("docs/metrics.md", name, &format!("{head}{}", rows.concat()));
    }
    assert_eq!(listed, families.len(), "a family belongs to no table of docs/metrics.md");
}

#[tokio::test]
async fn every_metric_that_a_document_names_exists() {
    let families = registered();
    let exists = |name: &str| families.iter().any(|family| is_of(family, name));
    let mut problems = Vec::new();
    for (path, text) in docs::all().into_iter().map(|doc| (doc.path, doc.text)).chain(observability()) {
        let metrics = docs::words(&text, is_part).filter(|word| word.starts_with("rungs_"));
        // The parameter of an address that names a visitor.
        let others = ["rungs_id"];
        let unknown = metrics.filter(|name| !exists(name) && !name.ends_with('_') && !others.contains(name));
        problems.extend(unknown.map(|name| format!("{path}: there is no metric {name}")));
    }
    none(problems);
}

#[test]
fn every_recorded_series_that_something_reads_is_recorded() {
    let rules = observability();
    let recorded = |name: &str| rules.iter().any(|(_, text)| text.contains(&format!("record: {name}\n")));
    let mut problems = Vec::new();
    let docs = docs::all().into_iter().map(|doc| (doc.path, doc.text));
    for (path, text) in docs.chain(observability()) {
        let is_part = |letter: char| is_part(letter) || letter == ':';
        // An image's tag has the same form.
        let is_tag =
            |word: &str| word.starts_with("rungs:") && word.ends_with(|last: char| last.is_ascii_digit());
        let series = docs::words(&text, is_part).filter(|word| word.starts_with("rungs:") && !is_tag(word));
        let unknown = series.filter(|name| !recorded(name) && !name.ends_with(['_', ':']));
        problems.extend(unknown.map(|name| format!("{path}: nothing records {name}")));
    }
    none(problems);
}

#[tokio::test]
async fn every_family_has_an_example_query() {
    let blocks = docs::doc("docs/metrics.md").blocks();
    let queries = blocks.iter().filter(|block| block.language == "promql");
    let named: Vec<&str> = queries.flat_map(|block| docs::words(&block.text, is_part)).collect();
    let without = registered().into_iter().filter(|family| !named.iter().any(|name| is_of(family, name)));
    none(without.map(|family| format!("docs/metrics.md has no example of {}", family.name)).collect());
}

/// Whether a name is of this family, or of a series of its histogram.
fn is_of(family: &MetricInfo, name: &str) -> bool {
    let histogram = family.kind == MetricKind::Histogram;
    let part = |suffix| name.strip_suffix(suffix) == Some(family.name.as_str());
    family.name == name || histogram && ["_bucket", "_sum", "_count"].into_iter().any(part)
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
}

/// Rules and dashboards.
fn observability() -> Vec<(String, String)> {
    let files = tree::files(&[".yml", ".json"]).into_iter();
    files.filter(|(path, _)| path.starts_with("observability/")).collect()
}

#[tokio::test]
async fn the_bound_of_every_label_is_told() {
    let bounds = docs::doc("docs/metrics.md").first_cells("## Labels");
    let mut labels: Vec<String> = registered().into_iter().flat_map(|family| family.labels).collect();
    labels.sort();
    labels.dedup();
    let missing =
        labels.iter().filter(|label| !bounds.contains(label)).map(|label| format!("`{label}`: no bound"));
    let unknown =
        bounds.iter().filter(|bound| !labels.contains(bound)).map(|label| format!("no label `{label}`"));
    none(missing.chain(unknown).collect());
}
