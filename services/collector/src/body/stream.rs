//! A body that is expanded while it arrives: bytes go in as the network brings them, expanded bytes come out, never more than
//! a bound at a time. One encoding (gzip, deflate, br, zstd, or gzip by its first bytes) is undone.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::expand::{GZIP, MAX_ZSTD_WINDOW_LOG, is_zlib};
use crate::refusal::Refusal;

/// So many packed bytes should be fed at a time: what they expand to is bounded, and comes out at once.
pub(crate) const EXPAND_STEP_BYTES: usize = 8 << 10;

/// Expands a body step by step.
pub(crate) struct Expander {
    /// The header Content-Encoding, in lower case.
    encoding: String,
    decoder: Option<Decoder>,
    max_bytes: usize,
}

enum Decoder {
    Plain(Expanded),
    Gzip(MultiGzDecoder<Expanded>),
    Zlib(ZlibDecoder<Expanded>),
    Deflate(DeflateDecoder<Expanded>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Expanded>>),
    Zstd(zstd::stream::write::Decoder<'static, Expanded>),
}

/// What came out and was not taken yet.
struct Expanded {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Write for Expanded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > self.max_bytes {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Expander {
    /// `max_bytes` bounds what one step may expand to.
    pub(crate) fn new(encoding: &str, max_bytes: usize) -> Self {
        Self { encoding: encoding.trim().to_ascii_lowercase(), decoder: None, max_bytes }
    }

    /// Takes bytes of the body and appends what they expand to.
    pub(crate) fn feed(&mut self, packed: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let max_bytes = self.max_bytes;
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::of(&self.encoding, packed, max_bytes)?),
        };
        decoder.write(packed).map_err(|error| refusal(&error, max_bytes))?;
        out.append(&mut decoder.expanded().bytes);
        Ok(())
    }

    /// At the end of the body: appends what is left; an error if the body ends in the middle.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        decoder.finish().map_err(|error| refusal(&error, self.max_bytes))?;
        out.append(&mut decoder.expanded().bytes);
        Ok(())
    }
}

fn refusal(error: &io::Error, max_bytes: usize) -> Refusal {
    match error.kind() {
        io::ErrorKind::FileTooLarge => {
            Refusal::BodyTooLarge { name: "[collector] max_expanded", limit: max_bytes }
        }
        _ => Refusal::InvalidEncoding(error.to_string()),
    }
}

impl Decoder {
    /// `first` are the body's first bytes.
    fn of(encoding: &str, first: &[u8], max_bytes: usize) -> Result<Self, Refusal> {
        let to = Expanded { bytes: Vec::new(), max_bytes };
        Ok(match encoding {
            "gzip" | "x-gzip" => Self::Gzip(MultiGzDecoder::new(to)),
            "" | "identity" if first.starts_with(GZIP) => Self::Gzip(MultiGzDecoder::new(to)),
            "" | "identity" => Self::Plain(to),
            "deflate" if is_zlib(first) => Self::Zlib(ZlibDecoder::new(to)),
            "deflate" => Self::Deflate(DeflateDecoder::new(to)),
            "br" => Self::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(to, 4096))),
            "zstd" => {
                let broken = |error: io::Error| Refusal::InvalidEncoding(error.to_string());
                let mut decoder = zstd::stream::write::Decoder::new(to).map_err(broken)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(broken)?;
                Self::Zstd(decoder)
            }
            other => {
                let message =
                    format!("`{other}` is none of gzip, deflate, br, zstd; long NDJSON has one at most");
                return Err(Refusal::InvalidEncoding(message));
            }
        })
    }

    fn write(&mut self, packed: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.write_all(packed),
            Self::Gzip(to) => to.write_all(packed).and_then(|()| to.flush()),
            Self::Zlib(to) => to.write_all(packed).and_then(|()| to.flush()),
            Self::Deflate(to) => to.write_all(packed).and_then(|()| to.flush()),
            Self::Brotli(to) => to.write_all(packed).and_then(|()| to.flush()),
            Self::Zstd(to) => to.write_all(packed).and_then(|()| to.flush()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(to) => to.try_finish(),
            Self::Zlib(to) => to.try_finish(),
            Self::Deflate(to) => to.try_finish(),
            Self::Brotli(to) => to.close(),
            Self::Zstd(to) => to.flush(),
        }
    }

    fn expanded(&mut self) -> &mut Expanded {
        match self {
            Self::Plain(to) => to,
            Self::Gzip(to) => to.get_mut(),
            Self::Zlib(to) => to.get_mut(),
            Self::Deflate(to) => to.get_mut(),
            Self::Brotli(to) => to.get_mut(),
            Self::Zstd(to) => to.get_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::expand;
    use actix_web::web::Bytes;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    fn packed(how: usize, body: &[u8]) -> (&'static str, Vec<u8>) {
        let fast = Compression::fast();
        let into = |encoder: &mut dyn Write| encoder.write_all(body).unwrap();
        match how {
            0 => ("", body.to_vec()),
            1 => {
                let mut gzip = GzEncoder::new(Vec::new(), fast);
                into(&mut gzip);
                ("gzip", gzip.finish().unwrap())
            }
            2 => {
                let mut zlib = ZlibEncoder::new(Vec::new(), fast);
                into(&mut zlib);
                ("deflate", zlib.finish().unwrap())
            }
            3 => {
                let mut deflate = DeflateEncoder::new(Vec::new(), fast);
                into(&mut deflate);
                ("deflate", deflate.finish().unwrap())
            }
            4 => {
                let mut packed = Vec::new();
                let parameters = brotli::enc::BrotliEncoderParams { quality: 1, ..Default::default() };
                brotli::BrotliCompress(&mut &body[..], &mut packed, &parameters).unwrap();
                ("br", packed)
            }
            _ => ("zstd", zstd::encode_all(body, 1).unwrap()),
        }
    }

    fn stepwise(encoding: &str, packed: &[u8], chunk: usize) -> Result<Vec<u8>, Refusal> {
        let (mut expander, mut out) = (Expander::new(encoding, 1 << 20), Vec::new());
        for chunk in packed.chunks(chunk) {
            expander.feed(chunk, &mut out)?;
        }
        expander.finish(&mut out).map(|()| out)
    }

    proptest! {
        #[test]
        fn what_is_expanded_step_by_step_is_what_is_expanded_at_once(
            words in prop::collection::vec("[a-z\n]{1,9}", 0..3_000), how in 0usize..6, chunk in 2usize..20_000
        ) {
            let body = words.concat().into_bytes();
            let (encoding, packed) = packed(how, &body);
            let at_once = expand(Bytes::from(packed.clone()), encoding, 1 << 20).unwrap();
            prop_assert_eq!(&at_once, &body);
            prop_assert_eq!(stepwise(encoding, &packed, chunk).unwrap(), body);
        }
    }
}
