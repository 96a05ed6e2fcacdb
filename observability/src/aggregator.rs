//! *Aggregator*: is it whole, does it keep up, how fresh are numbers and tables, what does ClickHouse take.

use serde_json::Value;

use crate::dashboard::Dashboard;
use crate::live_ladder::{freshness, whole};
use crate::panel::Panel;

pub(crate) fn dashboard() -> Value {
    Dashboard::new(
        "rungs-aggregator",
        "Aggregator",
        "From the log to numbers and tables: whole, fresh, keeping up?",
    )
    .add(6, 4, whole())
    .add(6, 4, freshness())
    .add(6, 4, objective())
    .add(6, 4, lag_seconds())
    .row("Keeping up")
    .add(8, 9, partitions())
    .add(8, 9, lag())
    .add(8, 9, events())
    .add(12, 9, outcomes())
    .add(12, 9, journeys())
    .row("Freshness")
    .add(12, 9, fresh_numbers())
    .add(12, 9, fresh_tables())
    .row("ClickHouse")
    .add(8, 9, write_seconds())
    .add(8, 9, written_rows())
    .add(8, 9, failed_writes())
    .row("Within `rungs up`")
    .add(8, 9, local_log())
    .add(8, 9, clickhouse_memory())
    .add(8, 9, clickhouse_parts())
    .processes("an aggregator", "rungs_log_partitions")
    .json()
}

fn local_log() -> Panel {
    Panel::lines(
        "Local log",
        "What waits for ClickHouse, and what the log takes on disk. Empty where Kafka takes its place.",
    )
    .over_time("rungs_local_log_unreleased_bytes", "{{instance}} waits")
    .over_time("rungs_local_log_max_bytes", "{{instance}} may wait")
    .over_time("rungs_local_log_table_bytes + rungs_local_log_journal_bytes", "{{instance}} on disk")
    .unit("bytes")
    .zero_based()
}

fn clickhouse_memory() -> Panel {
    Panel::lines("Embedded ClickHouse: memory", "Empty where a server takes its place.")
        .over_time("rungs_clickhouse_memory_bytes", "{{instance}}")
        .over_time("rungs_clickhouse_max_memory_bytes", "{{instance}} at most")
        .unit("bytes")
        .zero_based()
}

fn clickhouse_parts() -> Panel {
    Panel::lines(
        "Embedded ClickHouse: parts",
        "By table. Growing without end: merges do not keep up with inserts.",
    )
    .over_time("rungs_clickhouse_parts", "{{table}}")
    .unit("short")
    .zero_based()
}

fn objective() -> Panel {
    Panel::number("Late events", "Share that took more than 5 s from being accepted to being counted. The objective is 1 % over 30 days.")
        .over_time("rungs:freshness_slow:ratio_rate1h", "late, last hour")
        .unit("percentunit")
        .thresholds(&[(0.01, "orange"), (0.144, "red")])
}

fn lag_seconds() -> Panel {
    Panel::number("Lag", "For how long the oldest record that is still to be taken has waited.")
        .over_time("max(rungs_aggregator_lag_seconds)", "lag")
        .unit("s")
        .thresholds(&[(60.0, "red")])
}

fn partitions() -> Panel {
    Panel::lines("Partitions", "By aggregator and state; together they must be those of the log.")
        .over_time("rungs_aggregator_partitions", "{{instance}} {{state}}")
        .over_time("max(rungs_log_partitions)", "of the log")
        .unit("short")
        .zero_based()
}

fn lag() -> Panel {
    Panel::lines("Records that wait in the log", "")
        .over_time("rungs_aggregator_lag_records", "{{instance}}")
        .unit("short")
        .zero_based()
}

fn events() -> Panel {
    Panel::lines("Events taken from the log", "")
        .over_time("rate(rungs_aggregator_events_total[$__rate_interval])", "{{instance}}")
        .over_time(
            "rate(rungs_aggregator_undecodable_records_total[$__rate_interval])",
            "{{instance}} not taken",
        )
        .unit("cps")
        .zero_based()
}

fn outcomes() -> Panel {
    Panel::lines(
        "What became of matched events",
        "Late, imported and tail_full events are stored, and counted at the next build from raw.",
    )
    .over_time(
        "sum by (outcome) (rate(rungs_aggregator_folded_events_total[$__rate_interval]))",
        "{{outcome}}",
    )
    .unit("cps")
    .zero_based()
}

fn journeys() -> Panel {
    Panel::lines("Journeys in memory", "Visitors, by funnel.")
        .over_time("sum by (site, funnel) (rungs_aggregator_journeys)", "{{site}} {{funnel}}")
        .unit("short")
        .zero_based()
}

fn fresh_numbers() -> Panel {
    Panel::lines(
        "Until an event is counted",
        "From being accepted to being in the live numbers, imports left out.",
    )
    .quantiles("rungs_aggregator_freshness_folded_seconds")
}

fn fresh_tables() -> Panel {
    Panel::lines(
        "Until an event is stored",
        "From being accepted to being in the table events: the oldest event of each insert, imports left out.",
    )
    .quantiles("rungs_aggregator_freshness_stored_seconds")
}

fn write_seconds() -> Panel {
    Panel::lines("Time of a write (99 %)", "Failed attempts included, by table.")
        .over_time(
            "histogram_quantile(0.99, sum by (le, table) (rate(rungs_aggregator_write_seconds_bucket[$__rate_interval])))",
            "{{table}}",
        )
        .unit("s")
        .zero_based()
}

fn written_rows() -> Panel {
    Panel::lines("Rows written", "By table.")
        .over_time(
            "sum by (table) (rate(rungs_aggregator_written_rows_total[$__rate_interval]))",
            "{{table}}",
        )
        .unit("cps")
        .zero_based()
}

fn failed_writes() -> Panel {
    Panel::lines(
        "Failed writes",
        "Each is made again until ClickHouse has it; meanwhile the log keeps what waits.",
    )
    .over_time("sum by (table) (rate(rungs_aggregator_failed_writes_total[$__rate_interval]))", "{{table}}")
    .unit("cps")
    .zero_based()
}
