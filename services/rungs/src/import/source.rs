//! A file as lines: plain or gzip, told by its first bytes, whatever its name. Counts the bytes read of the file itself,
//! so that progress is right for compressed files too.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 256 << 10;

/// An open file.
pub(super) struct Source {
    pub(super) reader: Box<dyn BufRead + Send>,
    /// Bytes of the file that were read so far.
    pub(super) read_bytes: Arc<AtomicU64>,
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::new(File::open(path)?)
    }

    pub(super) fn new(input: impl Read + Send + 'static) -> io::Result<Self> {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let counted = Counted { input, read_bytes: read_bytes.clone() };
        let mut plain = BufReader::with_capacity(BUFFER_BYTES, counted);
        let is_gzip = plain.fill_buf()?.starts_with(&GZIP_MAGIC);
        let reader: Box<dyn BufRead + Send> = match is_gzip {
            true => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(plain))),
            false => Box::new(plain),
        };
        Ok(Self { reader, read_bytes })
    }
}

struct Counted<R> {
    input: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        self.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text(bytes: Vec<u8>) -> (String, u64) {
        let mut source = Source::new(io::Cursor::new(bytes)).unwrap();
        let mut text = String::new();
        source.reader.read_to_string(&mut text).unwrap();
        (text, source.read_bytes.load(Ordering::Relaxed))
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes_and_may_have_several_parts() {
        let mut bytes = Vec::new();
        for part in ["a,b\n", "1,2\n"] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            bytes.extend(encoder.finish().unwrap());
        }
        let length = bytes.len() as u64;
        assert_eq!(text(bytes), ("a,b\n1,2\n".to_owned(), length));
        assert_eq!(text(b"a,b\n".to_vec()), ("a,b\n".to_owned(), 4));
        assert_eq!(text(Vec::new()), (String::new(), 0));
    }
}
