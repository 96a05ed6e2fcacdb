//! Offsets of the log and offsets of its topic. One record of the topic may hold many of ours (`packing.rs`), so an offset
//! of the log is that of the topic's record times [`PLACES`] and a place in it. Places are counted to the end: the last
//! record of a pack, and one that stands alone, has the place `PLACES - 1`. So whoever took the last one stands where the
//! topic's next record begins, and the end of the topic is the end of the log.

/// Records of the log that one record of the topic may hold.
pub const PLACES: u64 = 10_000;

/// Where the places of a topic's record begin; 0 while its offset, as Kafka counts, is not known.
pub(super) fn first_of(topic_offset: i64) -> u64 {
    u64::try_from(topic_offset).unwrap_or(0).saturating_mul(PLACES)
}

/// The offset of a record that has so many others behind it in its pack.
pub(super) fn offset_of(topic_offset: i64, behind: usize) -> u64 {
    first_of(topic_offset + 1).saturating_sub(1 + behind as u64)
}

/// The offset in the topic, as Kafka counts, of what stands at an offset of the log.
pub(super) fn topic_offset(offset: u64) -> i64 {
    (offset / PLACES).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_record_end_where_the_next_one_begins() {
        assert_eq!(offset_of(7, 0) + 1, first_of(8));
        assert_eq!(offset_of(7, PLACES as usize - 1), first_of(7));
        for place in [0, 1, PLACES as usize - 1] {
            let offset = offset_of(12, place);
            assert_eq!((topic_offset(offset), offset), (12, first_of(13) - 1 - place as u64));
        }
    }
}
