-- Version 2: rejected events can be found and say where they came from, and a site may keep its events longer or shorter
-- than others. Only adds, so programs of version 1 go on working; their events are kept as long as the settings say.

-- What the event's site asked for when the row was written, or asked since; 0: as long as the settings say.
ALTER TABLE events ADD COLUMN IF NOT EXISTS retention_days UInt16 DEFAULT 0;

-- `id` names a rejection: what is stored twice has the same. `topic` is empty where it never reached the log.
ALTER TABLE rejected_events
    ADD COLUMN IF NOT EXISTS visitor_id String,
    ADD COLUMN IF NOT EXISTS id String,
    ADD COLUMN IF NOT EXISTS bytes UInt64,
    ADD COLUMN IF NOT EXISTS topic LowCardinality(String),
    ADD COLUMN IF NOT EXISTS log_partition UInt32,
    ADD COLUMN IF NOT EXISTS log_offset UInt64;
