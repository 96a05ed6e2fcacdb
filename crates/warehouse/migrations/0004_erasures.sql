-- Version 4: who was erased, and from which place of the log on. Only adds, so programs of version 3 go on reading; an
-- aggregator of version 3 does not know the record that erases, so upgrade aggregators before anybody erases a visitor.

-- The record that erased the visitor: the log's number and the offset in the visitor's partition. A row that was written
-- by hand stands before all. `visitor_hash` is what `journeys` calls the visitor.
ALTER TABLE erasures
    ADD COLUMN IF NOT EXISTS visitor_hash UInt128,
    ADD COLUMN IF NOT EXISTS log_epoch UInt32,
    ADD COLUMN IF NOT EXISTS log_offset UInt64;
