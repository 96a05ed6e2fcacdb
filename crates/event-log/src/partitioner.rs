//! Which partition a visitor's events go to: Kafka's default partitioner (murmur2 of the key), so that producers in
//! other languages agree with ours, and ClickHouse (`kafkaMurmurHash`) can tell the partition of a stored row.

/// The partition of a visitor: key = `site`, a NUL byte, `visitor_id`.
pub fn partition_of(site: &str, visitor_id: &str, partitions: u32) -> u32 {
    if partitions <= 1 {
        return 0;
    }
    let parts = [site.as_bytes(), &[0], visitor_id.as_bytes()];
    // This runs for every event: ids are seldom so long that it allocates.
    let mut buffer = [0; 128];
    let hash = match join(parts, &mut buffer) {
        Some(key) => murmur2(key),
        None => murmur2(&parts.concat()),
    };
    (hash & 0x7fff_ffff) % partitions
}

/// Appends the key of a visitor, as messages on Kafka carry it.
pub fn write_key(site: &str, visitor_id: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(site.as_bytes());
    key.push(0);
    key.extend_from_slice(visitor_id.as_bytes());
}

/// The parts one after the other in `buffer`, if they fit.
fn join<'a>(parts: [&[u8]; 3], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    for part in parts {
        buffer.get_mut(length..length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    buffer.get(..length)
}

/// Murmur2 with Kafka's seed (`org.apache.kafka.common.utils.Utils#murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut h = SEED ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let word = <[u8; 4]>::try_from(chunk).map_or(0, u32::from_le_bytes);
        let k = word.wrapping_mul(M);
        h = h.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * index);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafkas_own_tests() {
        // From Kafka's UtilsTest#testMurmur2.
        let cases: [(&str, i32); 7] = [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
            ("", 275646681),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_key_of_any_length_is_hashed_as_one_text() {
        for length in [1, 122, 123, 124, 509, 2_000] {
            let visitor = "v".repeat(length);
            let whole = murmur2(format!("shop\0{visitor}").as_bytes()) & 0x7fff_ffff;
            assert_eq!(partition_of("shop", &visitor, u32::MAX), whole % u32::MAX, "{length}");
        }
    }

    #[test]
    fn a_visitor_stays_on_one_partition() {
        assert_eq!(partition_of("shop", "v1", 8), partition_of("shop", "v1", 8));
        assert_eq!(partition_of("shop", "v1", 0), 0);
    }
}
