//! Changed copies of seeds, from a seed: what `make test` has in place of a fuzzer. Bytes are set, cut, doubled and moved,
//! pieces that decoders stumble over are put in, and two seeds are joined.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// So long is a changed copy at most.
const MAX_BYTES: usize = 64 << 10;
const MAX_CHANGES: u32 = 6;

const PIECES: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "0",
    "-1",
    "\\u0000",
    "\\ud800",
    "\\",
    "1e999",
    "1e-999",
    "18446744073709551616",
    "\u{0}",
    "\u{feff}",
    "\u{85}",
    "\u{202e}",
    "ü",
    "😀",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "{\"batch\":[",
    "\"batch\":[{}],",
    "\"properties\":7,",
    "\"properties\":{\"a\":\"x@y.example\"},",
    "\"event\":{},",
    "\"type\":\"page\",\"name\":\"x\",",
    "\"messageId\":\"m\",",
    "\"timestamp\":\"2026-02-30T25:61:61Z\",",
    "\"timestamp\":1e300,",
    "\"sentAt\":\"1969-12-31T23:59:59.999Z\",",
    "4111 1111 1111 1111",
    "data=",
    "&",
    "=",
    "%",
    "%00",
    "+",
    "\n",
    "\r\n",
    "[[sites]]\nid = \"a\"\n",
    "[[funnels.steps]]\n",
    "'''",
    "1979-05-27T07:32:00Z",
    "9999999999999d",
];

/// Makes changed copies.
#[derive(Debug)]
pub struct Mutator {
    chance: StdRng,
}

impl Mutator {
    /// The same seed makes the same copies of the same seeds.
    pub fn new(seed: u64) -> Self {
        Self { chance: StdRng::seed_from_u64(seed) }
    }

    /// A changed copy of one of `seeds`.
    pub fn next(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut data = seeds.choose(&mut self.chance).cloned().unwrap_or_default();
        for _ in 0..self.chance.random_range(1..=MAX_CHANGES) {
            self.change(&mut data, seeds);
        }
        data.truncate(MAX_BYTES);
        data
    }

    fn change(&mut self, data: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.place(data);
        match self.chance.random_range(0..8) {
            0 => data.truncate(at),
            1 => self.each(data, at, |byte, drawn| *byte = drawn),
            2 => self.each(data, at, |byte, drawn| *byte ^= 1 << (drawn % 8)),
            3 => drop(data.drain(self.range(data, at))),
            4 => {
                let doubled = data[self.range(data, at)].to_vec();
                drop(data.splice(at..at, doubled));
            }
            5 => {
                let other = seeds.choose(&mut self.chance).cloned().unwrap_or_default();
                let from = self.place(&other);
                drop(data.splice(at.., other.into_iter().skip(from)));
            }
            _ => {
                let piece = PIECES.choose(&mut self.chance).copied().unwrap_or_default();
                drop(data.splice(at..at, piece.bytes()));
            }
        }
    }

    fn place(&mut self, data: &[u8]) -> usize {
        self.chance.random_range(0..=data.len())
    }

    fn range(&mut self, data: &[u8], at: usize) -> std::ops::Range<usize> {
        let length = 1 << self.chance.random_range(0..8);
        at..data.len().min(at + length)
    }

    fn each(&mut self, data: &mut [u8], at: usize, change: impl FnOnce(&mut u8, u8)) {
        let drawn = self.chance.random();
        if let Some(byte) = data.get_mut(at) {
            change(byte, drawn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_copies_and_they_differ() {
        let seeds = vec![b"{\"event\":\"a\"}".to_vec(), b"[1,2,3]".to_vec()];
        let copies = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..100).map(|_| mutator.next(&seeds)).collect::<Vec<_>>()
        };
        assert_eq!(copies(1), copies(1));
        assert_ne!(copies(1), copies(2));
        let changed = copies(1).into_iter().filter(|copy| !seeds.contains(copy)).count();
        assert!(changed > 90, "{changed}");
    }
}
