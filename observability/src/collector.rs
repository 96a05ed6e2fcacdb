//! *Collector*: what comes in, what is refused and why, how long it takes to be durable, and what waits for Kafka.

use serde_json::Value;

use crate::dashboard::Dashboard;
use crate::panel::Panel;

pub(crate) fn dashboard() -> Value {
    Dashboard::new(
        "rungs-collector",
        "Collector",
        "Events on their way in: how many, what is wrong with them, how long they take.",
    )
    .add(6, 4, lost())
    .add(6, 4, rejected_share())
    .add(6, 4, acknowledged())
    .add(6, 4, in_flight())
    .row("Events")
    .add(12, 9, outcomes())
    .add(12, 9, sites())
    .add(12, 9, reasons())
    .add(12, 9, requests())
    .row("Acknowledgement")
    .add(12, 9, ack_seconds())
    .add(12, 9, in_flight_bytes())
    .row("Spill: while Kafka is away")
    .add(8, 9, spill_bytes())
    .add(8, 9, spill_records())
    .add(8, 9, spill_age())
    .processes("a collector", "rungs_collector_in_flight_bytes")
    .json()
}

fn lost() -> Panel {
    Panel::number("Lost events", "Neither stored nor refused. Must be 0.")
        .over_time("sum(rungs_collector_lost_events_total)", "lost")
        .thresholds(&[(1.0, "red")])
}

fn rejected_share() -> Panel {
    Panel::number("Rejected", "Share of events that were wrong.")
        .over_time(
            "sum(rate(rungs_collector_events_total{outcome=\"rejected\"}[$__rate_interval])) \
             / sum(rate(rungs_collector_events_total{outcome=~\"accepted|rejected\"}[$__rate_interval]))",
            "rejected",
        )
        .unit("percentunit")
        .thresholds(&[(0.05, "red")])
}

fn acknowledged() -> Panel {
    Panel::number("Durable within", "99 of 100 requests' events are durable so long after they came.")
        .over_time(
            "histogram_quantile(0.99, sum by (le) (rate(rungs_collector_ack_seconds_bucket[$__rate_interval])))",
            "99 %",
        )
        .unit("s")
}

fn in_flight() -> Panel {
    Panel::number("In flight", "Bytes of requests that are being handled; at `[collector] max_in_flight` of one collector it answers 503.")
        .over_time("sum(rungs_collector_in_flight_bytes)", "in flight")
        .unit("bytes")
}

fn outcomes() -> Panel {
    Panel::lines("Events by outcome", "Accepted is durable.")
        .over_time("sum by (outcome) (rate(rungs_collector_events_total[$__rate_interval]))", "{{outcome}}")
        .unit("cps")
        .zero_based()
}

fn sites() -> Panel {
    Panel::lines("Accepted events by site", "")
        .over_time("sum by (site) (rate(rungs_collector_site_events_total[$__rate_interval]))", "{{site}}")
        .unit("cps")
        .zero_based()
}

fn reasons() -> Panel {
    Panel::lines("Rejected events by reason", "The reasons are explained in docs/http-api.md.")
        .over_time(
            "sum by (reason) (rate(rungs_collector_rejected_events_total[$__rate_interval]))",
            "{{reason}}",
        )
        .unit("cps")
        .zero_based()
}

fn requests() -> Panel {
    Panel::lines("Requests by endpoint and status", "")
        .over_time(
            "sum by (endpoint, status) (rate(rungs_collector_requests_total[$__rate_interval]))",
            "{{endpoint}} {{status}}",
        )
        .unit("reqps")
        .zero_based()
}

fn ack_seconds() -> Panel {
    Panel::lines("Until events are durable", "From handing events to the log until they are durable.")
        .quantiles("rungs_collector_ack_seconds")
}

fn in_flight_bytes() -> Panel {
    Panel::lines("Bytes in flight", "Requests that are being handled, by collector.")
        .over_time("rungs_collector_in_flight_bytes", "{{instance}}")
        .unit("bytes")
        .zero_based()
}

fn spill_bytes() -> Panel {
    Panel::lines("Spill", "Bytes on a collector's disk that wait for Kafka, and how many it takes.")
        .over_time("rungs_collector_spill_bytes", "{{instance}}")
        .over_time("rungs_collector_spill_max_bytes", "{{instance}} at most")
        .unit("bytes")
        .zero_based()
}

fn spill_records() -> Panel {
    Panel::lines("Records in the spill", "")
        .over_time("rungs_collector_spill_records", "{{instance}}")
        .unit("short")
        .zero_based()
}

fn spill_age() -> Panel {
    Panel::lines("Age of the oldest record in the spill", "")
        .over_time("rungs_collector_spill_age_seconds", "{{instance}}")
        .unit("s")
        .zero_based()
}
