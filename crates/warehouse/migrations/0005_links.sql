-- Version 5: which ids are one visitor, on sites that ask for it (`identity = "links"` in the plan). Only adds, so programs of
-- version 4 go on working; but an aggregator of version 4 refuses a plan that asks for it.

-- A link of a set: the id, the user id that it is linked to (0: others are linked to it alone), and the id that the visitor
-- goes by, all as hashes; or, where `is_second`, for whom the events of the id count that name this other user. The id
-- itself is there to find its raw events.
CREATE TABLE IF NOT EXISTS links
(
    site String,
    number UInt64,
    visitor_id String,
    visitor UInt128,
    user_hash UInt128,
    is_second Bool,
    person UInt128,
    visitor_partition UInt32,
    person_partition UInt32,
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY (site, number, visitor, user_hash, is_second)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- A set that is complete: generations with this number or a larger one count by it, up to the next set. `passed` is how far
-- each partition of the log was stored when it was made; `announced`, whether every partition was told to build by it.
CREATE TABLE IF NOT EXISTS link_sets
(
    site String,
    number UInt64,
    log_epoch UInt32,
    passed Array(UInt64),
    links UInt64,
    announced Bool,
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (site, number)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
