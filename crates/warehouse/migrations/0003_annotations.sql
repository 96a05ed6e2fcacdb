-- Version 3: notes of people on a site's time line. Only adds.

-- What people noted: "email sent". Written again with the same id, a note is replaced.
CREATE TABLE IF NOT EXISTS annotations
(
    site String,
    id String,
    at DateTime64(3, 'UTC'),
    text String,
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (site, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
