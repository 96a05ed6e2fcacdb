//! Undoes a request body's encodings: `Content-Encoding` (gzip, deflate, lz4, zstd), then `decompress=1` blocks.
//!
//! Runs on the worker's thread, so that decompression never holds up the HTTP threads. Encodings that are not
//! supported are refused before the query is queued.

use std::io::Read;

use super::EmbeddedError;
use super::blocks::BlockReader;

/// What has to be undone to read the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Encoding {
    pub(super) content: Content,
    /// `decompress=1`: ClickHouse's own blocks, inside the content encoding.
    pub(super) blocks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Content {
    #[default]
    Identity,
    Gzip,
    Deflate,
    Lz4,
    Zstd,
}

impl Content {
    /// Reads a `Content-Encoding` header.
    pub(super) fn from_header(value: &str) -> Result<Self, EmbeddedError> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd),
            other => Err(EmbeddedError::request(
                36,
                format!(
                    "Content-Encoding '{other}' is not supported here; use gzip, deflate, lz4, zstd or none"
                ),
            )),
        }
    }
}

impl Encoding {
    pub(super) fn is_plain(self) -> bool {
        self == Self::default()
    }

    /// `body` with every encoding undone. A body that ends early gives a read error, never a short read.
    ///
    /// # Errors
    /// The decoder could not be set up.
    pub(super) fn decode<'a>(self, body: impl Read + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
        let content: Box<dyn Read + 'a> = match self.content {
            Content::Identity => Box::new(body),
            Content::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
            Content::Deflate => Box::new(flate2::read::ZlibDecoder::new(body)),
            Content::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(body)),
            Content::Zstd => Box::new(zstd::stream::read::Decoder::new(body)?),
        };
        Ok(if self.blocks { Box::new(BlockReader::new(content)) } else { content })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn gzip_around_blocks_is_undone_in_that_order() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&super::super::blocks::pack(b"rows")).unwrap();
        let encoding = Encoding { content: Content::Gzip, blocks: true };
        let mut plain = String::new();
        encoding.decode(gzip.finish().unwrap().as_slice()).unwrap().read_to_string(&mut plain).unwrap();
        assert_eq!(plain, "rows");
    }

    #[test]
    fn an_unknown_encoding_is_refused_by_name() {
        assert!(Content::from_header("br").unwrap_err().to_string().contains("'br'"));
    }
}
