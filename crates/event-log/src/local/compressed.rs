//! A group as the disk holds it: LZ4, because every group is written twice (to fjall's journal, then to its tables) and
//! fsynced, and the events of a site repeat each other, so that compressing them costs less than writing them. Used by
//! `segment.rs` and `store.rs`; in memory groups are as they were packed.
//!
//! Little endian: bytes of the group u32, an LZ4 block. What cannot be expanded reads as an empty group, which its
//! checksum then refuses.

use bytes::Bytes;

/// A byte of an LZ4 block stands for at most this many: a length beyond is damage, and nothing is allocated for it.
const LARGEST_EXPANSION: usize = 255;

/// The group as it is stored.
pub(super) fn compress(packed: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress_prepend_size(packed)
}

/// The group from [`compress`]; empty if it is damaged.
pub(super) fn expand(stored: &[u8]) -> Bytes {
    let Ok((bytes, block)) = lz4_flex::block::uncompressed_size(stored) else { return Bytes::new() };
    if bytes > block.len().saturating_mul(LARGEST_EXPANSION) {
        return Bytes::new();
    }
    lz4_flex::block::decompress(block, bytes).map(Bytes::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_group_comes_back(packed in prop::collection::vec(0..4u8, 0..2_000)) {
            prop_assert_eq!(expand(&compress(&packed)), packed);
        }

        #[test]
        fn any_bytes_are_expanded_without_a_panic(stored in prop::collection::vec(any::<u8>(), 0..200)) {
            let expanded = expand(&stored);
            prop_assert!(expanded.len() <= stored.len() * LARGEST_EXPANSION);
        }
    }
}
