//! A body that is expanded while it arrives: bytes go in as the network brings them, expanded bytes come out, never
//! more than a bound at a time. One encoding (gzip, deflate, br, zstd, or gzip by its first bytes) is undone. It tells
//! what memory it holds between two steps, windows included, for the budget of bytes in flight.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::expand::{BEHIND_THE_END, GZIP, is_zlib};
use super::zstd_frames::ZstdFrames;
use crate::refusal::Refusal;

/// So many packed bytes should be fed at a time: what they expand to is bounded, and comes out at once.
pub(crate) const EXPAND_STEP_BYTES: usize = 8 << 10;
/// Bytes of the buffer between decoder and reader that are kept from one step to the next; a step may have needed more.
const KEPT_BYTES: usize = 8 * EXPAND_STEP_BYTES;
/// What gzip and deflate hold: window, tables and buffer.
const INFLATE_BYTES: usize = 80 << 10;
/// What brotli holds beside its window: tables and buffers.
const BROTLI_TABLES_BYTES: usize = 256 << 10;
/// The largest window of RFC 7932, as logarithm.
const MAX_BROTLI_WINDOW_LOG: u32 = 24;

/// Expands a body step by step.
pub(crate) struct Expander {
    /// The header Content-Encoding, in lower case.
    encoding: String,
    decoder: Option<Decoder>,
    /// The body's first byte, until the second is here: two tell what it is.
    first: Option<u8>,
    max_bytes: usize,
}

enum Decoder {
    Plain(Expanded),
    Gzip(MultiGzDecoder<Expanded>),
    Zlib(ZlibDecoder<Expanded>),
    Deflate(DeflateDecoder<Expanded>),
    Brotli { decoder: Box<brotli_decompressor::DecompressorWriter<Expanded>>, window_log: u32 },
    Zstd(ZstdFrames<Expanded>),
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
        Self { encoding: encoding.trim().to_ascii_lowercase(), decoder: None, first: None, max_bytes }
    }

    /// Takes bytes of the body and appends what they expand to.
    pub(crate) fn feed(&mut self, packed: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        match (self.first.take(), packed) {
            (None, []) => Ok(()),
            (None, [first]) if self.decoder.is_none() => {
                self.first = Some(*first);
                Ok(())
            }
            (None, _) => self.write(packed, out),
            (Some(first), _) => self.write(&[&[first], packed].concat(), out),
        }
    }

    fn write(&mut self, packed: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let max_bytes = self.max_bytes;
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::of(&self.encoding, packed, max_bytes)?),
        };
        decoder.write(packed).map_err(|error| refusal(&error, max_bytes))?;
        let expanded = &mut decoder.expanded().bytes;
        out.append(expanded);
        expanded.shrink_to(KEPT_BYTES);
        Ok(())
    }

    /// Bytes of memory that it holds until the next step.
    pub(crate) fn held_bytes(&mut self) -> usize {
        self.decoder.as_mut().map_or(0, |decoder| decoder.state_bytes() + decoder.expanded().bytes.capacity())
    }

    /// At the end of the body: appends what is left; an error if the body ends in the middle.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if let Some(first) = self.first.take() {
            self.write(&[first], out)?;
        }
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
        // Of a decoder that is at its end and takes no more.
        io::ErrorKind::WriteZero => Refusal::InvalidEncoding(BEHIND_THE_END.to_owned()),
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
            "br" => Self::Brotli {
                decoder: Box::new(brotli_decompressor::DecompressorWriter::new(to, 4096)),
                window_log: brotli_window_log(first.first().copied().unwrap_or_default()),
            },
            "zstd" => Self::Zstd(ZstdFrames::new(to).map_err(|error| refusal(&error, max_bytes))?),
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
            Self::Brotli { decoder: to, .. } => to.write_all(packed).and_then(|()| to.flush()),
            Self::Zstd(to) => to.feed(packed),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(to) => to.try_finish(),
            Self::Zlib(to) => to.try_finish(),
            Self::Deflate(to) => to.try_finish(),
            Self::Brotli { decoder: to, .. } => to.close(),
            Self::Zstd(to) => to.finish(),
        }
    }

    /// Memory that is held from one step to the next, beside what came out.
    fn state_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Gzip(_) | Self::Zlib(_) | Self::Deflate(_) => INFLATE_BYTES,
            Self::Brotli { window_log, .. } => (1 << window_log) + BROTLI_TABLES_BYTES,
            Self::Zstd(to) => to.held_bytes(),
        }
    }

    fn expanded(&mut self) -> &mut Expanded {
        match self {
            Self::Plain(to) => to,
            Self::Gzip(to) => to.get_mut(),
            Self::Zlib(to) => to.get_mut(),
            Self::Deflate(to) => to.get_mut(),
            Self::Brotli { decoder: to, .. } => to.get_mut(),
            Self::Zstd(to) => to.get_mut(),
        }
    }
}

/// The window that brotli's first byte asks for (RFC 7932, 9.1).
fn brotli_window_log(first: u8) -> u32 {
    let (three, further) = (u32::from(first >> 1 & 7), u32::from(first >> 4 & 7));
    match (first & 1, three, further) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        // Not a window of the format; the decoder refuses it.
        (_, 0, 1) => MAX_BROTLI_WINDOW_LOG,
        (_, 0, _) => 8 + further,
        _ => 17 + three,
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

    fn brotli_of_window(log: i32) -> Vec<u8> {
        let mut packed = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams { quality: 5, lgwin: log, ..Default::default() };
        brotli::BrotliCompress(&mut &[b'a'; 100][..], &mut packed, &parameters).unwrap();
        packed
    }

    fn zstd_of_window(log: u32) -> Vec<u8> {
        let mut packed = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        packed.window_log(log).unwrap();
        packed.write_all(b"a").unwrap();
        packed.flush().unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn the_windows_that_bodies_ask_for_are_told_and_bounded() {
        for log in [16, 17, 18, 22, 24] {
            let packed = brotli_of_window(log);
            assert_eq!(brotli_window_log(packed[0]), log.cast_unsigned());
            let mut expander = Expander::new("br", 1 << 20);
            expander.feed(&packed, &mut Vec::new()).unwrap();
            assert!(expander.held_bytes() >= 1 << log);
        }
        for log in [10, 20, 23] {
            let mut expander = Expander::new("zstd", 1 << 20);
            expander.feed(&zstd_of_window(log), &mut Vec::new()).unwrap();
            let window = 1 << log;
            let held = expander.held_bytes();
            assert!((window..window + (1 << 20)).contains(&held), "2^{log}: {held}");
        }
        let wide = zstd_of_window(24);
        assert!(matches!(stepwise("zstd", &wide, 7), Err(Refusal::InvalidEncoding(_))));
        assert!(matches!(expand(Bytes::from(wide), "zstd", 1 << 20), Err(Refusal::InvalidEncoding(_))));
    }

    #[test]
    fn a_step_that_expanded_to_much_leaves_no_memory_behind() {
        let body = vec![b'a'; 4 << 20];
        for how in 0..6 {
            let (encoding, packed) = packed(how, &body);
            let (mut expander, mut out) = (Expander::new(encoding, 8 << 20), Vec::new());
            expander.feed(&packed, &mut out).unwrap();
            let between = expander.decoder.as_mut().unwrap().expanded().bytes.capacity();
            assert!(between <= KEPT_BYTES, "{encoding}: {between}");
        }
    }

    #[test]
    fn zstd_that_ends_in_the_middle_is_an_error_and_two_frames_are_one_body() {
        let body: Vec<u8> = (0..3 * 16_384_u32).map(|n| (n % 251) as u8).collect();
        let mut packed = zstd::encode_all(&body[..16_384], 1).unwrap();
        packed.extend(zstd::encode_all(&body[16_384..], 1).unwrap());
        assert_eq!(stepwise("zstd", &packed, 1_000).unwrap(), body);
        packed.pop();
        assert!(matches!(stepwise("zstd", &packed, 1_000), Err(Refusal::InvalidEncoding(_))));
    }

    #[test]
    fn what_stands_behind_the_end_of_deflate_is_refused() {
        for how in [2, 3] {
            let (encoding, once) = packed(how, b"{}\n");
            for rest in [once.as_slice(), b"x"] {
                let body = [&once, rest].concat();
                let at_once = expand(Bytes::from(body.clone()), encoding, 1 << 20);
                assert_eq!(at_once.unwrap_err(), Refusal::InvalidEncoding(BEHIND_THE_END.into()), "{how}");
                for chunk in [1, 7, 1_000] {
                    let refused = stepwise(encoding, &body, chunk).unwrap_err();
                    assert_eq!(refused, Refusal::InvalidEncoding(BEHIND_THE_END.into()), "{how} by {chunk}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_expanded_step_by_step_is_what_is_expanded_at_once(
            words in prop::collection::vec("[a-z\n]{1,9}", 0..3_000), how in 0usize..6, chunk in 1usize..20_000
        ) {
            let body = words.concat().into_bytes();
            let (encoding, packed) = packed(how, &body);
            let at_once = expand(Bytes::from(packed.clone()), encoding, 1 << 20).unwrap();
            prop_assert_eq!(&at_once, &body);
            prop_assert_eq!(stepwise(encoding, &packed, chunk).unwrap(), body);
        }
    }
}
