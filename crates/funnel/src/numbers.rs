//! Numbers of variable length, as journeys are written with: 7 bits a byte, and how many bytes follow is said by the
//! first byte's trailing zeros, so that reading one is a load and a shift, without a loop.

use crate::codec::Damaged;

/// Room that a writer makes at once: more than most journeys take.
const ROOM: usize = 256;

/// Appends to a buffer. Eight bytes are stored where fewer count: cheaper than a copy of variable length.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        let at = out.len();
        out.resize(at + ROOM, 0);
        Self { out, at }
    }

    /// Cuts the buffer after the last byte.
    pub(crate) fn finish(self) {
        self.out.truncate(self.at);
    }

    /// A number: 1 byte below 128, 2 below 16,384, ... 8 below 2^56, else 9 (a zero byte and the number).
    #[inline]
    pub(crate) fn number(&mut self, number: u64) {
        let bits = 64 - (number | 1).leading_zeros() as usize;
        // bits / 7 rounded up, for all bits that a number can have.
        let bytes = (bits * 9 + 64) / 64;
        if bytes > 8 {
            self.byte(0);
            self.word(number, 8);
        } else {
            self.word((number << bytes) | (1 << (bytes - 1)), bytes);
        }
    }

    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        self.word(u64::from(byte), 1);
    }

    #[inline]
    pub(crate) fn eight_bytes(&mut self, number: u64) {
        self.word(number, 8);
    }

    #[inline]
    fn word(&mut self, word: u64, bytes: usize) {
        match self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut::<8>) {
            Some(slot) => *slot = word.to_le_bytes(),
            None => self.word_beyond(word),
        }
        self.at += bytes;
    }

    #[cold]
    fn word_beyond(&mut self, word: u64) {
        self.out.truncate(self.at);
        self.out.extend_from_slice(&word.to_le_bytes());
        self.out.resize(self.at + ROOM, 0);
    }

    /// Bytes as they are.
    pub(crate) fn slice(&mut self, bytes: &[u8]) {
        self.out.truncate(self.at);
        self.out.extend_from_slice(bytes);
        self.at = self.out.len();
        self.out.resize(self.at + ROOM, 0);
    }
}

/// Reads what was written, from the front.
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl Reader<'_> {
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.rest.split_first().ok_or(Damaged)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, Damaged> {
        let word = match self.rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => self.last_word(),
        };
        let bytes = word.trailing_zeros() as usize + 1;
        if bytes > 8 {
            return self.nine_bytes();
        }
        self.rest = self.rest.get(bytes..).ok_or(Damaged)?;
        let unused = 64 - 8 * bytes;
        Ok(word << unused >> unused >> bytes)
    }

    /// The last bytes, fewer than eight, filled up with zeros.
    #[cold]
    fn last_word(&self) -> u64 {
        self.rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    /// A number that begins with a zero byte; also the end of the bytes, where [`Reader::last_word`] is 0.
    #[cold]
    fn nine_bytes(&mut self) -> Result<u64, Damaged> {
        if self.byte()? != 0 {
            return Err(Damaged);
        }
        self.eight_bytes()
    }

    #[inline]
    pub(crate) fn eight_bytes(&mut self) -> Result<u64, Damaged> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(Damaged)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn time_before(&mut self, newest: i64) -> Result<i64, Damaged> {
        newest.checked_sub_unsigned(self.number()?).ok_or(Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(numbers: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        numbers.iter().for_each(|number| writer.number(*number));
        writer.finish();
        out
    }

    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(numbers in prop::collection::vec(number(), 0..200)) {
            let bytes = written(&numbers);
            let mut reader = Reader { rest: &bytes };
            for number in numbers {
                prop_assert_eq!(reader.number(), Ok(number));
            }
            prop_assert!(reader.rest.is_empty());
        }

        #[test]
        fn a_number_that_is_cut_off_is_damaged(number in number(), cut in 0..9usize) {
            let bytes = written(&[number]);
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(Reader { rest: &bytes[..cut] }.number(), Err(Damaged));
        }
    }

    #[test]
    fn a_number_takes_a_byte_for_seven_bits() {
        for (number, bytes) in [(0, 1), (127, 1), (128, 2), ((1 << 56) - 1, 8), (1 << 56, 9), (u64::MAX, 9)] {
            assert_eq!(written(&[number]).len(), bytes, "{number}");
        }
    }
}
