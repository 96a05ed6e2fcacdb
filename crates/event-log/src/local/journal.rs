//! Repairs the end of fjall's journal in two cases that fjall leaves to its user; called by `database.rs` while the
//! database is closed.
//!
//! - A power cut may leave the last batch with pages missing in its middle. fjall drops a batch whose end is missing
//!   but refuses to open when only the checksum is wrong. A damaged batch with nothing intact after it was never
//!   acknowledged: it is cut off. Damage with intact batches after it is not a torn end, and is reported.
//! - A batch whose write or fsync failed was answered as failed, yet may stand complete in the file, where the next
//!   opening would find it. It is the last one, because nothing is written after a failure: it is cut off.
//!
//! The format (fjall 3, stable): a batch is `1 count:u32 seqno:u64`, items, `3 xxh3-of-the-items:u64 "FJL\x03"`; an
//! item is `2 type:u8 compression:u8 keyspace:u64 key:u16 value:u32 stored:u32 KEY VALUE` or `4 keyspace:u64`. Little
//! endian; zeros follow the last batch up to the file's preallocated size.

use std::fs::OpenOptions;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use bytes::Buf;
use xxhash_rust::xxh3::xxh3_64;

const TRAILER: &[u8] = b"FJL\x03";

/// Cuts a torn end off the newest journal that has content, and its last batch if that has `failed_seqno` or more.
pub(super) fn repair(dir: &Path, failed_seqno: Option<u64>) -> Result<()> {
    for path in newest_first(dir)? {
        let content = std::fs::read(&path)?;
        if content.iter().all(|byte| *byte == 0) {
            continue;
        }
        let walk = walk(&content);
        if let Some(at) = walk.intact_after_damage {
            let what = format!(
                "{} is damaged at byte {} and intact again at byte {at}",
                path.display(),
                walk.intact
            );
            return Err(Error::other(what));
        }
        let failed = walk.last.filter(|last| failed_seqno.is_some_and(|seqno| last.seqno >= seqno));
        let keep = failed.map_or(walk.intact, |last| last.start);
        tracing::warn!(journal = %path.display(), keep, "cut an unacknowledged end off the log's journal");
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(keep as u64)?;
        return file.sync_all();
    }
    Ok(())
}

fn newest_first(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(id) = name.and_then(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok()) {
            journals.push((id, path));
        }
    }
    journals.sort_unstable_by(|one, other| other.cmp(one));
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    start: usize,
    end: usize,
    seqno: u64,
}

#[derive(Debug, Default)]
struct Walk {
    /// The end of the last batch before any damage.
    intact: usize,
    /// That batch.
    last: Option<Batch>,
    intact_after_damage: Option<usize>,
}

fn walk(content: &[u8]) -> Walk {
    let mut walk = Walk::default();
    while let Some(batch) = batch_at(content, walk.intact) {
        walk.intact = batch.end;
        walk.last = Some(batch);
    }
    walk.intact_after_damage =
        (walk.intact + 1..content.len()).find(|start| batch_at(content, *start).is_some());
    walk
}

fn batch_at(content: &[u8], start: usize) -> Option<Batch> {
    let mut rest = content.get(start..)?;
    if rest.try_get_u8().ok()? != 1 {
        return None;
    }
    let count = rest.try_get_u32_le().ok()?;
    let seqno = rest.try_get_u64_le().ok()?;
    let items = rest;
    for _ in 0..count {
        skip_item(&mut rest)?;
    }
    let checksum = xxh3_64(items.get(..items.len() - rest.len())?);
    let ends = rest.try_get_u8().ok()? == 3 && rest.try_get_u64_le().ok()? == checksum;
    let rest = rest.strip_prefix(TRAILER)?;
    ends.then_some(Batch { start, end: content.len() - rest.len(), seqno })
}

fn skip_item(rest: &mut &[u8]) -> Option<()> {
    match rest.try_get_u8().ok()? {
        2 => {
            rest.try_get_u16_le().ok()?;
            rest.try_get_u64_le().ok()?;
            let key = rest.try_get_u16_le().ok()?;
            rest.try_get_u32_le().ok()?;
            let value = rest.try_get_u32_le().ok()?;
            *rest = rest.get(usize::from(key) + value as usize..)?;
        }
        4 => drop(rest.try_get_u64_le().ok()?),
        _ => return None,
    }
    Some(())
}
