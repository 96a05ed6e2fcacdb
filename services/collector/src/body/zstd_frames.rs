//! zstd that is expanded while it arrives, for [`super::stream`]. It uses the library's context itself, because only that
//! tells how much memory a body's frames made it hold.

use std::io::{self, Write};

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, SafeResult, get_error_name};

use super::expand::MAX_ZSTD_WINDOW_LOG;

/// What comes out at a time.
const PIECE_BYTES: usize = 16 << 10;

/// Writes what it expands to `to`.
pub(super) struct ZstdFrames<W> {
    context: DCtx<'static>,
    piece: Box<[u8]>,
    /// Whether the last frame is complete.
    is_complete: bool,
    to: W,
}

impl<W: Write> ZstdFrames<W> {
    pub(super) fn new(to: W) -> io::Result<Self> {
        let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        checked(context.set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW_LOG)))?;
        Ok(Self { context, piece: vec![0; PIECE_BYTES].into(), is_complete: true, to })
    }

    /// Takes bytes; all that they expand to is written.
    pub(super) fn feed(&mut self, packed: &[u8]) -> io::Result<()> {
        let mut input = InBuffer::around(packed);
        while input.pos() < packed.len() || !self.is_complete {
            let mut output = OutBuffer::around(&mut *self.piece);
            self.is_complete = checked(self.context.decompress_stream(&mut output, &mut input))? == 0;
            let filled = output.pos();
            self.to.write_all(self.piece.get(..filled).unwrap_or_default())?;
            // A piece that is not full says that nothing is left inside.
            if input.pos() == packed.len() && filled < PIECE_BYTES {
                break;
            }
        }
        Ok(())
    }

    /// At the end: an error in the middle of a frame.
    pub(super) fn finish(&self) -> io::Result<()> {
        if self.is_complete { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Bytes of memory that it holds, the window among them.
    pub(super) fn held_bytes(&self) -> usize {
        self.context.sizeof() + PIECE_BYTES
    }

    pub(super) fn get_mut(&mut self) -> &mut W {
        &mut self.to
    }
}

fn checked(result: SafeResult) -> io::Result<usize> {
    result.map_err(|code| io::Error::other(get_error_name(code)))
}
