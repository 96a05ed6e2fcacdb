//! Packed bodies: what clients pack comes out again, in steps as at once, and never more than is allowed.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use collector::decoding::{expanded, expanded_in_steps};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::corpus::{Corpus, chosen};

const MAX_BYTES: usize = 256 << 10;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ENCODINGS: [&str; 8] = ["", "gzip", "deflate", "br", "zstd", "identity", "gzip, br", "x-gzip"];

/// How clients pack a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    /// gzip that no header names.
    GzipUnnamed,
    Zlib,
    Deflate,
    Zstd,
    /// base64 in a form's `data`.
    Form,
    /// The same of gzip.
    FormOfGzip,
}

impl Packing {
    pub(crate) const ALL: [Self; 7] =
        [Self::Gzip, Self::GzipUnnamed, Self::Zlib, Self::Deflate, Self::Zstd, Self::Form, Self::FormOfGzip];

    /// The header Content-Encoding.
    pub(crate) fn encoding(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib | Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::GzipUnnamed | Self::Form | Self::FormOfGzip => "",
        }
    }

    pub(crate) fn pack(self, body: &[u8]) -> Vec<u8> {
        let fast = Compression::fast();
        match self {
            Self::Gzip | Self::GzipUnnamed => {
                let mut gzip = GzEncoder::new(Vec::new(), fast);
                gzip.write_all(body).unwrap();
                gzip.finish().unwrap()
            }
            Self::Zlib => {
                let mut zlib = ZlibEncoder::new(Vec::new(), fast);
                zlib.write_all(body).unwrap();
                zlib.finish().unwrap()
            }
            Self::Deflate => {
                let mut deflate = DeflateEncoder::new(Vec::new(), fast);
                deflate.write_all(body).unwrap();
                deflate.finish().unwrap()
            }
            Self::Zstd => zstd::encode_all(body, 1).unwrap(),
            Self::Form => form(body),
            Self::FormOfGzip => form(&Self::Gzip.pack(body)),
        }
    }

    /// Whether nothing in a body's own bytes says that it is packed.
    pub(crate) fn is_plain(body: &[u8]) -> bool {
        !body.starts_with(GZIP) && !body.starts_with(b"data=")
    }
}

fn form(body: &[u8]) -> Vec<u8> {
    let encoded: String = url::form_urlencoded::byte_serialize(STANDARD.encode(body).as_bytes()).collect();
    format!("data={encoded}").into_bytes()
}

/// Any bytes in any encoding; the first byte chooses encoding and steps.
pub(crate) fn packed(data: &[u8]) {
    let [choice, body @ ..] = data else { return };
    let encoding = ENCODINGS[usize::from(choice % 8)];
    let step_bytes = 1 << (choice / 8 % 14);
    let whole = expanded(body, encoding, MAX_BYTES);
    assert_eq!(whole, expanded(body, encoding, MAX_BYTES));
    assert!(whole.as_ref().map_or(0, Vec::len) <= MAX_BYTES);
    let in_steps = expanded_in_steps(body, encoding, step_bytes, MAX_BYTES);
    // At once, what comes out is looked at once more: it may be gzip or a form itself.
    if let (Ok(whole), Ok(in_steps)) = (&whole, &in_steps)
        && Packing::is_plain(in_steps)
    {
        assert_eq!(in_steps, whole, "{encoding} in steps of {step_bytes}");
    }
    there_and_back(body, usize::from(*choice), step_bytes);
}

/// What is packed comes out again.
fn there_and_back(body: &[u8], choice: usize, step_bytes: usize) {
    if !Packing::is_plain(body) || body.is_empty() || body.len() > MAX_BYTES {
        return;
    }
    let packing = Packing::ALL[choice % Packing::ALL.len()];
    let packed = packing.pack(body);
    assert_eq!(expanded(&packed, packing.encoding(), MAX_BYTES).as_deref(), Ok(body), "{packing:?}");
    if !packed.starts_with(b"data=") {
        let in_steps = expanded_in_steps(&packed, packing.encoding(), step_bytes, MAX_BYTES);
        assert_eq!(in_steps.as_deref(), Ok(body), "{packing:?} in steps of {step_bytes}");
    }
}

pub(crate) fn packed_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let place = |packing: Packing| ENCODINGS.iter().position(|name| *name == packing.encoding()).unwrap();
    let bodies = corpus.bodies(&["own", "posthog"]);
    let seed = |(number, body): (usize, &Vec<u8>)| {
        let packing = Packing::ALL[number % Packing::ALL.len()];
        chosen(place(packing) + 8 * (number % 14), &packing.pack(body))
    };
    bodies.iter().enumerate().filter_map(seed).collect()
}
