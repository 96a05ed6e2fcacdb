-- Version 1 of the schema. Statements end with `;` at a line's end. {retention} names come from settings.

-- Raw events. The first copy of an event wins: `version` is larger the earlier the log had it.
-- Made for cheap inserts and merges, which are most of what an event costs: merging a LowCardinality column takes six
-- times as long as a String that compresses as well; a part of one insert is one file (and one fsync) instead of one
-- a column; and ten parts instead of five are merged into one.
CREATE TABLE IF NOT EXISTS events
(
    site String,
    visitor_id String,
    message_id String,
    event String,
    kind String,
    user_id String,
    ts DateTime64(3, 'UTC') CODEC(Delta, LZ4),
    own_ts DateTime64(3, 'UTC') CODEC(Delta, LZ4),
    received_at DateTime64(3, 'UTC') CODEC(Delta, LZ4),
    properties String,
    context String,
    revenue Decimal(18, 4),
    currency String,
    channel String,
    source String,
    medium String,
    campaign String,
    content String,
    device String,
    browser String,
    os String,
    country String,
    import_id String,
    log_epoch UInt32,
    offset UInt64 CODEC(Delta, LZ4),
    version UInt64 CODEC(Delta, LZ4),
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(received_at)
ORDER BY (site, visitor_id, message_id)
TTL written_at + INTERVAL {raw_retention_days} DAY DELETE
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    min_bytes_for_wide_part = 134217728, merge_selector_base = 10;

-- A visitor's state in a funnel, as `funnel::journey` encodes it, after the record at offset `version`. A definition
-- belongs to one funnel of one site, so numbers order the rows; the names only complete the key.
CREATE TABLE IF NOT EXISTS journeys
(
    site String,
    funnel String,
    definition UInt64,
    generation UInt64,
    log_partition UInt32,
    visitor UInt128,
    state String,
    version UInt64,
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY generation
PRIMARY KEY (definition, log_partition, visitor)
ORDER BY (definition, log_partition, visitor, site, funnel)
-- No window reaches further: a conversion window and a rolling window are 92 days at most.
TTL written_at + INTERVAL 200 DAY DELETE
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    merge_selector_base = 10;

-- How far each partition of the log is folded, per funnel (funnel = '' is the partition itself).
-- kind: 'progress' | 'marker'; state: 'building' | 'complete' | 'dropped'.
CREATE TABLE IF NOT EXISTS progress
(
    log_id String,
    log_partition UInt32,
    log_partitions UInt32,
    site LowCardinality(String),
    funnel LowCardinality(String),
    definition UInt64,
    generation UInt64,
    kind LowCardinality(String),
    state LowCardinality(String),
    cutoff UInt64,
    cutoff_clock_ms Int64,
    next_offset UInt64,
    clock_ms Int64,
    plan_number UInt64,
    plan_text String,
    `values` Array(String),
    done Float64,
    truncated Bool,
    version UInt64,
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (log_id, log_partition, site, funnel, definition, generation, kind)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- The logs that ever fed this database, in the order in which they were first seen.
CREATE TABLE IF NOT EXISTS logs
(
    log_id String,
    epoch UInt32,
    partitions UInt32,
    first_seen DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree ORDER BY epoch
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Rolling counts at minute ends: one row per partition, funnel, breakdown value and minute. breakdown = '' counts
-- everybody. Arrays are flat, steps x windows (index = step * length(windows) + window). A value without a row at a
-- minute at which the partition has its '' row counts nothing.
CREATE TABLE IF NOT EXISTS funnel_rolling
(
    site LowCardinality(String),
    funnel LowCardinality(String),
    definition UInt64,
    generation UInt64,
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    log_partition UInt32,
    breakdown LowCardinality(String),
    value String,
    steps Array(LowCardinality(String)),
    windows Array(LowCardinality(String)),
    visitors Array(UInt32) CODEC(ZSTD(1)),
    offered Array(UInt32) CODEC(ZSTD(1)),
    committed Array(UInt32) CODEC(ZSTD(1)),
    skipped Array(UInt32) CODEC(ZSTD(1)),
    open Array(UInt32) CODEC(ZSTD(1)),
    seconds_cells Array(UInt32) CODEC(ZSTD(1)),
    seconds_counts Array(UInt32) CODEC(ZSTD(1)),
    effort_cells Array(UInt32) CODEC(ZSTD(1)),
    effort_counts Array(UInt32) CODEC(ZSTD(1)),
    truncated Bool,
    closed Bool,
    as_of DateTime64(3, 'UTC'),
    version UInt64,
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(minute)
ORDER BY (site, funnel, definition, generation, minute, log_partition, breakdown, value)
TTL written_at + INTERVAL {minute_history_days} DAY DELETE WHERE toMinute(minute) != 0,
    written_at + INTERVAL {hour_history_days} DAY DELETE WHERE toMinute(minute) = 0
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- The open minute, for display only: [its end - W, now]. A partition's rows of one write share a version; rows with a
-- lower version than the partition's largest are stale.
CREATE TABLE IF NOT EXISTS funnel_open
(
    site LowCardinality(String),
    funnel LowCardinality(String),
    definition UInt64,
    generation UInt64,
    minute DateTime('UTC'),
    log_partition UInt32,
    breakdown LowCardinality(String),
    value String,
    steps Array(LowCardinality(String)),
    windows Array(LowCardinality(String)),
    visitors Array(UInt32),
    offered Array(UInt32),
    committed Array(UInt32),
    skipped Array(UInt32),
    open Array(UInt32),
    seconds_cells Array(UInt32),
    seconds_counts Array(UInt32),
    effort_cells Array(UInt32),
    effort_counts Array(UInt32),
    truncated Bool,
    closed Bool,
    as_of DateTime64(3, 'UTC'),
    version UInt64,
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (site, funnel, definition, generation, log_partition, breakdown, value)
TTL written_at + INTERVAL 7 DAY DELETE;

-- Visitors who asked to be forgotten; every read leaves their rows out.
CREATE TABLE IF NOT EXISTS erasures
(
    site LowCardinality(String),
    visitor_id String,
    erased_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(erased_at)
ORDER BY (site, visitor_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Events that were refused, with a bounded sample.
CREATE TABLE IF NOT EXISTS rejected_events
(
    received_at DateTime64(3, 'UTC'),
    site LowCardinality(String),
    endpoint LowCardinality(String),
    reason LowCardinality(String),
    message String,
    message_id String,
    event String,
    sample String,
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (site, received_at)
TTL written_at + INTERVAL 30 DAY DELETE;

-- Rolling conversion at every stored minute end, for Grafana and people: one row per funnel, step, window and breakdown
-- value, summed over partitions, of the generation in force and only where every partition has its minute.
-- eligible: visitors of the step before (of the step itself for the first one).
CREATE OR REPLACE VIEW funnel_conversion AS
WITH
    in_force AS
    (
        SELECT site, funnel, max((generation, definition)) AS newest
        FROM
        (
            SELECT site, funnel, definition, generation
            FROM
            (
                SELECT site, funnel, definition, generation, log_partition,
                       argMax((state, log_partitions), (version, written_at)) AS last
                FROM progress
                WHERE kind = 'progress' AND funnel != ''
                GROUP BY site, funnel, definition, generation, log_partition
            )
            GROUP BY site, funnel, definition, generation
            HAVING countIf(last.1 = 'complete') = max(last.2)
        )
        GROUP BY site, funnel
    ),
    partitions AS
    (
        SELECT argMax(log_partitions, (written_at, version)) AS count FROM progress WHERE funnel = ''
    ),
    cells AS
    (
        SELECT site, funnel, minute, log_partition, breakdown, value, cell,
               intDiv(cell - 1, length(windows)) + 1 AS position,
               steps[position] AS step,
               windows[(cell - 1) % length(windows) + 1] AS window,
               visitors[cell] AS reached,
               visitors[if(position = 1, cell, cell - length(windows))] AS before,
               offered[cell] AS shown, committed[cell] AS taken, skipped[cell] AS passed, open[position] AS standing
        FROM funnel_rolling FINAL
        ARRAY JOIN arrayEnumerate(visitors) AS cell
        WHERE (site, funnel, definition, generation) IN (SELECT site, funnel, newest.2, newest.1 FROM in_force)
    ),
    whole AS
    (
        SELECT site, funnel, minute FROM cells WHERE breakdown = '' AND cell = 1
        GROUP BY site, funnel, minute
        HAVING count() = (SELECT count FROM partitions)
    )
SELECT site, funnel, minute, position, step, window, breakdown, value,
       sum(reached) AS visitors, sum(before) AS eligible, visitors / nullIf(eligible, 0) AS conversion,
       sum(shown) AS offered, sum(taken) AS committed, committed / nullIf(offered, 0) AS ctr,
       sum(passed) AS skipped, sum(standing) AS open
FROM cells
WHERE (site, funnel, minute) IN (SELECT site, funnel, minute FROM whole)
GROUP BY site, funnel, minute, position, step, window, breakdown, value;
