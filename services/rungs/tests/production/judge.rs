//! Says whether everything is as it must be once all is quiet: what was acknowledged is in the log, in each visitor's
//! order, and in ClickHouse, each event once; the console's numbers, the sum of all aggregators' metrics and every
//! minute of history are those of the definition over exactly these events.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use runtime::now_ms;
use serde_json::{Value, json};

use crate::cluster::{Cluster, PARTITIONS, value};
use crate::load::Load;
use crate::program::expected::{Expected, Stored, differences};
use crate::program::sending::Event;
use crate::topic::{self, Logged};

pub(crate) const FUNNEL: &str = "shop/purchase";
pub(crate) const WINDOWS: [(&str, i64); 4] =
    [("1h", 3_600_000), ("24h", 86_400_000), ("7d", 7 * 86_400_000), ("28d", 28 * 86_400_000)];
const MINUTE_MS: i64 = 60_000;
/// Wall time closes a minute so late.
const CLOSING_MS: i64 = 4_000;

/// The definition's numbers, each computed once.
pub(crate) struct Model {
    expected: Expected,
    known: RefCell<HashMap<(usize, i64), Value>>,
}

impl Model {
    /// Of a funnel over these events.
    pub(crate) fn new(plan: &str, funnel: &str, events: &[Stored]) -> Self {
        Self { expected: Expected::new(plan, "shop", funnel, events), known: RefCell::default() }
    }

    fn answer(&self, window: usize, end_ms: i64) -> Value {
        let mut known = self.known.borrow_mut();
        known.entry((window, end_ms)).or_insert_with(|| self.expected.answer(window, end_ms)).clone()
    }
}

/// Everything that clients know to be stored, and since when.
pub(crate) struct Truth<'a> {
    /// The text of the plan.
    pub(crate) plan: &'a str,
    pub(crate) acknowledged: Vec<Vec<Event>>,
    /// Events that came otherwise (an import): how many there are.
    pub(crate) others: usize,
    /// Minutes that end after this are compared.
    pub(crate) history_since_ms: i64,
}

impl Cluster {
    /// Waits until everything that is acknowledged now is in ClickHouse and all partitions are served; how long it took.
    pub(crate) fn until_whole(&mut self, load: &Load) -> Duration {
        let counts = load.counts();
        let mine = |(client, count): (usize, &usize)| format!("(client = '{client}' AND number < {count})");
        let known: Vec<String> = counts.iter().enumerate().map(mine).collect();
        let sql = format!(
            "SELECT uniqExact(message_id) FROM (SELECT message_id, splitByChar('-', message_id) AS parts, parts[1] AS \
             client, toUInt64OrZero(parts[2]) AS number FROM events WHERE length(parts) = 2) WHERE {}",
            known.join(" OR ")
        );
        let wanted = counts.iter().sum::<usize>().to_string();
        let stored = |cluster: &Cluster| cluster.clickhouse(&sql).unwrap_or_default();
        self.until_or(
            |cluster| format!("{} of {wanted} are stored", stored(cluster)),
            |cluster| cluster.all_live() && stored(cluster) == wanted,
        )
    }

    /// Fails unless everything is as it must be; the load has ended.
    pub(crate) fn judge(&mut self, truth: &Truth<'_>) {
        let began = Instant::now();
        let events: HashMap<&str, &Event> =
            truth.acknowledged.iter().flatten().map(|event| (event.id.as_str(), event)).collect();
        let (logged, copies) = topic::read(&self.kafka_settings());
        println!(
            "  {} acknowledged, {} others, {} in the log and {copies} copies",
            events.len(),
            truth.others,
            logged.len()
        );
        check_log(&logged, &events, truth);
        self.check_rows(&logged, &events);
        let all = logged.iter().map(|logged| logged.event.clone()).collect::<Vec<_>>();
        let model = Model::new(truth.plan, "purchase", &all);
        self.check_live(FUNNEL, &model);
        self.check_metrics(&model);
        self.check_history(&logged, truth);
        println!("  judged in {:.1} s", began.elapsed().as_secs_f64());
    }

    /// Raw rows: those of the log, each once, with their times.
    fn check_rows(&mut self, logged: &[Logged], events: &HashMap<&str, &Event>) {
        let wanted = logged.len().to_string();
        let count = |cluster: &Cluster| {
            cluster
                .clickhouse("SELECT uniqExact(site, visitor_id, message_id) FROM events")
                .unwrap_or_default()
        };
        self.until_or(
            |cluster| format!("{} of {wanted} raw rows", count(cluster)),
            |cluster| count(cluster) == wanted,
        );
        assert_eq!(self.clickhouse("SELECT count() FROM events FINAL"), Some(wanted));
        let sql =
            "SELECT message_id, visitor_id, event, toUnixTimestamp64Milli(ts) FROM events FINAL FORMAT TSV";
        let rows = self.clickhouse(sql).unwrap();
        let mut found = 0;
        for row in rows.lines() {
            let fields: Vec<&str> = row.split('\t').collect();
            let Some(event) = events.get(fields[0]) else { continue };
            let sent = [
                event.id.clone(),
                event.visitor.clone(),
                event.event.clone(),
                event.at_ms.unwrap().to_string(),
            ];
            assert_eq!(fields, sent);
            found += 1;
        }
        assert_eq!(found, events.len(), "acknowledged and not stored");
    }

    /// The console's numbers now.
    pub(crate) fn check_live(&mut self, funnel: &str, model: &Model) {
        for (index, (window, ms)) in WINDOWS.into_iter().enumerate() {
            let difference = |cluster: &Cluster| {
                let answer = cluster.live(funnel, &[("window", window), ("breakdown", "channel")]);
                let Some((200, live)) = answer else { return vec![format!("{answer:?}")] };
                let Some(from) = live["from"].as_i64().filter(|_| live["state"] == "ready") else {
                    return vec![live.to_string()];
                };
                compare(&live, &model.answer(index, from + ms))
            };
            self.until_or(
                |cluster| format!("live {window}: {}", difference(cluster).join("\n")),
                |cluster| difference(cluster).is_empty(),
            );
        }
    }

    /// The aggregators' metrics, summed.
    fn check_metrics(&mut self, model: &Model) {
        let difference = |cluster: &Cluster| {
            let end_ms = (now_ms() / MINUTE_MS + 1) * MINUTE_MS;
            let texts: Option<Vec<String>> =
                cluster.aggregators.values().map(|part| cluster.metrics(part)).collect();
            let Some(texts) = texts else { return "no answer".to_owned() };
            let sum = |metric: &str, labels: &[&str]| {
                texts.iter().map(|text| value(text, metric, labels)).sum::<f64>()
            };
            if sum("rungs_aggregator_partitions", &["state=\"live\""]) != f64::from(PARTITIONS) {
                return "not all partitions are live".to_owned();
            }
            let mut wrong = String::new();
            for (index, (window, _)) in WINDOWS.into_iter().enumerate() {
                let answer = model.answer(index, end_ms);
                for step in answer["steps"].as_array().unwrap() {
                    let (id, wanted) = (step["id"].as_str().unwrap(), step["visitors"].as_f64().unwrap());
                    let (step, window) = (format!("step=\"{id}\""), format!("window=\"{window}\""));
                    let found = sum("rungs_funnel_visitors", &["funnel=\"purchase\"", &step, &window]);
                    if found != wanted {
                        wrong += &format!("{id} {window}: metrics {found}, model {wanted}; ");
                    }
                }
            }
            wrong
        };
        self.until_or(|cluster| difference(cluster), |cluster| difference(cluster).is_empty());
    }

    /// Every minute's end since a time: there, and the definition's over what the log had by then.
    fn check_history(&mut self, logged: &[Logged], truth: &Truth<'_>) {
        let last = (now_ms() - CLOSING_MS).div_euclid(MINUTE_MS) * MINUTE_MS;
        let first = (truth.history_since_ms.div_euclid(MINUTE_MS) + 1) * MINUTE_MS;
        let mut ends = 0;
        for end_ms in (first..=last).step_by(60_000) {
            let before: Vec<_> = logged.iter().filter(|logged| logged.clock_ms < end_ms).collect();
            let before: Vec<_> = before.iter().map(|logged| logged.event.clone()).collect();
            let expected = Expected::new(truth.plan, "shop", "purchase", &before);
            let at = end_ms.to_string();
            // A window each minute: they are computed from the same rows.
            let index = ends % WINDOWS.len();
            let model = expected.answer(index, end_ms);
            let parameters = [("window", WINDOWS[index].0), ("breakdown", "channel"), ("as_of", at.as_str())];
            let difference = |cluster: &Cluster| match cluster.live(FUNNEL, &parameters) {
                Some((200, answer)) => compare(&answer, &model),
                other => vec![format!("{other:?}")],
            };
            self.until_or(
                |cluster| format!("as of {at} ({parameters:?}): {}", difference(cluster).join("\n")),
                |cluster| difference(cluster).is_empty(),
            );
            ends += 1;
        }
        println!("  {ends} minute ends compared");
    }
}

/// What was acknowledged is in the log, nothing else is, and the order of each visitor's events was kept.
fn check_log(logged: &[Logged], events: &HashMap<&str, &Event>, truth: &Truth<'_>) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut found = 0;
    for Logged { event, .. } in
        logged.iter().filter(|logged| events.contains_key(logged.event.message_id.as_str()))
    {
        let number = event.message_id.split_once('-').unwrap().1.parse::<u64>().unwrap();
        let before = last.insert(&event.visitor_id, number);
        assert!(before.is_none_or(|before| before < number), "{} after {before:?}", event.message_id);
        found += 1;
    }
    assert_eq!(found, events.len(), "acknowledged and not in the log");
    assert_eq!(logged.len(), events.len() + truth.others, "in the log and never acknowledged");
}

fn compare(found: &Value, model: &Value) -> Vec<String> {
    let found = json!({"rates": found["rates"], "steps": found["steps"], "breakdown": found["breakdown"]});
    differences("", &found, model)
}
