-- Version 6: what a log begins has a number that no log before it used, so that rows of earlier logs never win over its own.
-- Only adds, so programs of version 5 go on working; a log that one of them registers has the floor 0, as those before.

-- The least number of a generation on this log, decided when the log came, for ever.
ALTER TABLE logs ADD COLUMN IF NOT EXISTS generation_floor UInt64 DEFAULT 0;

-- Of several inserts with one token the first counts: several aggregators may meet a new log at the same moment. Replicated
-- tables do so by themselves.
ALTER TABLE logs MODIFY SETTING non_replicated_deduplication_window = 1000;

-- As before, but of the log in use alone: generations of another log are not in force however large their numbers are, nor are
-- its partitions beyond those of this log.
CREATE OR REPLACE VIEW funnel_conversion AS
WITH
    in_use AS
    (
        SELECT argMax((fed.log_id, partitions), (epoch, written)) AS log
        FROM
        (
            SELECT log_id, argMax(log_partitions, (written_at, version)) AS partitions, max(written_at) AS written,
                   max(written) OVER () AS newest
            FROM progress WHERE funnel = '' GROUP BY log_id
        ) AS fed
        LEFT JOIN (SELECT log_id, min(epoch) AS epoch FROM logs GROUP BY log_id) AS known ON fed.log_id = known.log_id
        WHERE written >= newest - INTERVAL 10 MINUTE
    ),
    in_force AS
    (
        SELECT site, funnel, max((generation, definition)) AS newest
        FROM
        (
            SELECT site, funnel, definition, generation
            FROM
            (
                SELECT site, funnel, definition, generation, log_partition,
                       argMax(state, (version, written_at)) AS last
                FROM progress
                WHERE log_id = (SELECT log.1 FROM in_use) AND kind = 'progress' AND funnel != ''
                GROUP BY site, funnel, definition, generation, log_partition
            )
            GROUP BY site, funnel, definition, generation
            HAVING countIf(last = 'complete') >= (SELECT log.2 FROM in_use)
        )
        GROUP BY site, funnel
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
          AND log_partition < (SELECT log.2 FROM in_use)
    ),
    whole AS
    (
        SELECT site, funnel, minute FROM cells WHERE breakdown = '' AND cell = 1
        GROUP BY site, funnel, minute
        HAVING count() = (SELECT log.2 FROM in_use)
    )
SELECT site, funnel, minute, position, step, window, breakdown, value,
       sum(reached) AS visitors, sum(before) AS eligible, visitors / nullIf(eligible, 0) AS conversion,
       sum(shown) AS offered, sum(taken) AS committed, committed / nullIf(offered, 0) AS ctr,
       sum(passed) AS skipped, sum(standing) AS open
FROM cells
WHERE (site, funnel, minute) IN (SELECT site, funnel, minute FROM whole)
GROUP BY site, funnel, minute, position, step, window, breakdown, value;
