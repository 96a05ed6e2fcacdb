//! ClickHouse's own block compression, as `decompress=1` bodies and `compress=1` answers use it.
//!
//! A block is a 16-byte CityHash 1.0.2 checksum of what follows, then method (0x82 = LZ4, 0x02 = stored), compressed
//! size with these 9 header bytes, plain size (both little-endian u32), data. Source: ClickHouse's "Native format" pages.

use std::io::{self, Read};

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const LZ4: u8 = 0x82;
const STORED: u8 = 0x02;
/// Largest block accepted, compressed or plain; clients send 64 KiB to 1 MiB.
const MAX_BLOCK_BYTES: usize = 64 * 1024 * 1024;

/// Reads blocks from `inner` and yields their plain bytes.
pub(super) struct BlockReader<R> {
    inner: R,
    plain: Vec<u8>,
    at: usize,
}

impl<R: Read> BlockReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, plain: Vec::new(), at: 0 }
    }

    /// False at the end of the input, which must fall between blocks.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut checksum = [0; CHECKSUM_BYTES];
        if !read_first(&mut self.inner, &mut checksum)? {
            return Ok(false);
        }
        let mut block = vec![0; HEADER_BYTES];
        self.inner.read_exact(&mut block)?;
        let (method, size, plain_size) = header(&block)?;
        block.resize(size, 0);
        self.inner.read_exact(block.get_mut(HEADER_BYTES..).unwrap_or_default())?;
        if checksum_of(&block) != checksum {
            return Err(invalid("a compressed block's checksum does not match its data"));
        }
        self.plain = unpack(method, block.get(HEADER_BYTES..).unwrap_or_default(), plain_size)?;
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for BlockReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let count = self.plain.get(self.at..).unwrap_or_default().read(out)?;
        self.at += count;
        Ok(count)
    }
}

/// `plain` as one LZ4 block.
pub(super) fn pack(plain: &[u8]) -> Vec<u8> {
    let data = lz4_flex::block::compress(plain);
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut block = Vec::with_capacity(HEADER_BYTES + data.len());
    block.push(LZ4);
    block.extend(size(HEADER_BYTES + data.len()));
    block.extend(size(plain.len()));
    block.extend(data);
    let mut packed = checksum_of(&block).to_vec();
    packed.extend(block);
    packed
}

fn header(bytes: &[u8]) -> io::Result<(u8, usize, usize)> {
    let [method, a, b, c, d, e, f, g, h] = *bytes else {
        return Err(invalid("a compressed block is cut off"));
    };
    let size = u32::from_le_bytes([a, b, c, d]) as usize;
    let plain_size = u32::from_le_bytes([e, f, g, h]) as usize;
    if !(HEADER_BYTES..=MAX_BLOCK_BYTES).contains(&size) || plain_size > MAX_BLOCK_BYTES {
        return Err(invalid("a compressed block's size is out of range: is the body compressed at all?"));
    }
    Ok((method, size, plain_size))
}

fn unpack(method: u8, data: &[u8], plain_size: usize) -> io::Result<Vec<u8>> {
    match method {
        LZ4 => lz4_flex::block::decompress(data, plain_size).map_err(|error| invalid(&error.to_string())),
        STORED => Ok(data.to_vec()),
        other => {
            Err(invalid(&format!("compression method {other:#x} is not supported here; use LZ4 or none")))
        }
    }
}

/// The checksum's two halves are stored high half first.
fn checksum_of(block: &[u8]) -> [u8; CHECKSUM_BYTES] {
    cityhash_rs::cityhash_102_128(block).rotate_right(64).to_le_bytes()
}

/// Fills `buffer`; false when the input ended before its first byte.
fn read_first(inner: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let (first, rest) = buffer.split_at_mut(1);
    loop {
        match inner.read(first) {
            Ok(0) => return Ok(false),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    inner.read_exact(rest).map(|()| true)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_blocks_read_back_in_order() {
        let bytes = [pack(b"one "), pack(&[7; 100_000]), pack(b"")].concat();
        let mut plain = Vec::new();
        BlockReader::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, [b"one ".as_slice(), &[7; 100_000]].concat());
    }

    #[test]
    fn a_cut_or_changed_block_is_an_error() {
        let packed = pack(b"some rows");
        let mut changed = packed.clone();
        *changed.last_mut().unwrap() ^= 1;
        for bytes in [&packed[..packed.len() - 1], &changed] {
            assert!(BlockReader::new(bytes).read_to_end(&mut Vec::new()).is_err());
        }
    }
}
