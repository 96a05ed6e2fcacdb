//! How soon an accepted event can be seen, in `/metrics` and in ClickHouse, while other events come at a fixed rate:
//! ten times a second a marker of a new visitor is posted, and two readers count the markers that they see.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::BenchError;
use crate::http::Load;
use crate::rungs::{get, query};
use crate::table::{Row, grouped, quantile};

const BETWEEN_MARKERS: Duration = Duration::from_millis(100);
/// Often enough for goals of seconds, and seldom enough to leave the processor to what is measured.
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);
/// For the last markers, after the load ended.
const GRACE: Duration = Duration::from_secs(10);

/// When a reader saw how many markers.
type Seen = Vec<(Instant, usize)>;

/// Where markers are sent to and looked for.
pub struct Doors {
    pub collector: SocketAddr,
    /// Whose `/metrics` tell how many were counted.
    pub admin: SocketAddr,
    pub clickhouse: SocketAddr,
}

/// Posts markers beside a load at `rate` and tells the 99th percentiles, each row's name after `prefix`.
pub fn run(doors: &Doors, load: &Load, prefix: &str) -> Result<Vec<Row>, BenchError> {
    let ended = AtomicBool::new(false);
    let Doors { collector, admin, clickhouse } = *doors;
    let rate = load.events_a_second.unwrap_or_default();
    let (acked, metrics, stored) = std::thread::scope(|scope| {
        let ended = &ended;
        let sender = scope.spawn(move || post_markers(collector, ended));
        let metrics = scope.spawn(move || look(ended, || in_metrics(admin)));
        let stored = scope.spawn(move || look(ended, || in_clickhouse(clickhouse)));
        let outcome = load.run();
        ended.store(true, Ordering::Release);
        let acked = sender.join().unwrap_or_default();
        (outcome.map(|_| acked), metrics.join().unwrap_or_default(), stored.join().unwrap_or_default())
    });
    let acked = acked?;
    let note = |waits: &[f64]| format!("{} markers at {}/s of other events", waits.len(), grouped(rate));
    let (metrics, stored) = (waits(&acked, &metrics), waits(&acked, &stored));
    let lost = |waits: &[f64]| waits.len() < acked.len();
    let row = |what: &str, waits: &[f64], goal_s: f64| {
        let p99 = quantile(waits, 0.99);
        let reached = p99 < goal_s && !lost(waits);
        let what = format!("{prefix}accepted -> visible in {what}, p99");
        Row::goal(&what, format!("{:.0} ms", p99 * 1e3), &format!("< {goal_s} s"), reached, note(waits))
    };
    Ok(vec![row("/metrics", &metrics, 1.0), row("ClickHouse", &stored, 2.0)])
}

/// When each marker was acknowledged.
fn post_markers(collector: SocketAddr, ended: &AtomicBool) -> Vec<Instant> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let client = reqwest::Client::new();
    let mut acked = Vec::new();
    while !ended.load(Ordering::Acquire) {
        let body = format!(r#"{{"event":"marker","anonymousId":"marker-{}"}}"#, acked.len());
        let request =
            client.post(format!("http://{collector}/v1/track")).header("X-Write-Key", "wk_probe").body(body);
        if runtime.block_on(request.send()).is_ok_and(|answer| answer.status().is_success()) {
            acked.push(Instant::now());
        }
        std::thread::sleep(BETWEEN_MARKERS);
    }
    acked
}

/// Notes each time when more markers are seen.
fn look(ended: &AtomicBool, count: impl Fn() -> Option<usize>) -> Seen {
    let mut seen: Seen = Vec::new();
    let mut until = None;
    loop {
        if ended.load(Ordering::Acquire) && *until.get_or_insert(Instant::now() + GRACE) < Instant::now() {
            return seen;
        }
        let now_seen = count().unwrap_or(0);
        if now_seen > seen.last().map_or(0, |(_, markers)| *markers) {
            seen.push((Instant::now(), now_seen));
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn in_metrics(admin: SocketAddr) -> Option<usize> {
    let text = get(admin, "/metrics").ok()?;
    let is_ours = |line: &&str| {
        line.starts_with("rungs_funnel_visitors{")
            && line.contains(r#"funnel="markers""#)
            && line.contains(r#"step="marker""#)
    };
    text.lines().find(is_ours)?.rsplit(' ').next()?.parse::<f64>().ok().map(|count| count as usize)
}

fn in_clickhouse(clickhouse: SocketAddr) -> Option<usize> {
    query(clickhouse, "SELECT uniqExact(visitor_id) FROM rungs.events WHERE site = 'probe'")
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Seconds from the acknowledgement of each marker that was seen to the first look that counted it, ascending.
fn waits(acked: &[Instant], seen: &[(Instant, usize)]) -> Vec<f64> {
    let first_seen = |marker: usize| seen.iter().find(|(_, count)| *count > marker).map(|(at, _)| *at);
    let wait = |(marker, acked): (usize, &Instant)| {
        Some(first_seen(marker)?.saturating_duration_since(*acked).as_secs_f64())
    };
    let mut waits: Vec<f64> = acked.iter().enumerate().filter_map(wait).collect();
    waits.sort_by(f64::total_cmp);
    waits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_waits_until_the_first_look_that_counts_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let acked = [at(0), at(100), at(200), at(300)];
        let seen = [(at(50), 1), (at(450), 3)];
        let ms: Vec<u64> = waits(&acked, &seen).iter().map(|wait| (wait * 1e3).round() as u64).collect();
        assert_eq!(ms, [50, 250, 350], "the last one was never seen");
    }
}
