//! Checks fjall's journals before fjall opens them and repairs the end of the newest one; called by `database.rs` and,
//! after a failure, by `writer.rs`, always while the database is closed. fjall leaves three cases to its user:
//!
//! - A power cut may leave the last batch with pages missing in its middle. fjall drops a batch whose end is missing
//!   but refuses to open when only the checksum is wrong. A damaged batch with nothing intact after it was never
//!   acknowledged: it is cut off.
//! - Damage with intact batches after it is no torn end. fjall may cut off everything from there on without a word:
//!   it is reported instead, and nothing is changed.
//! - A batch whose write or fsync failed was answered as failed, yet may stand complete in the file, where the next
//!   opening would find it. It is the last one, because nothing is written after a failure: it is cut off.
//!
//! The format (fjall 3, stable): a batch is `1 count:u32 seqno:u64`, items, `3 xxh3-of-the-items:u64 "FJL\x03"`; an
//! item is `2 type:u8 compression:u8 keyspace:u64 key:u16 value:u32 stored:u32 KEY VALUE` or `4 keyspace:u64`. Little
//! endian; zeros follow the last batch up to the file's preallocated size.

use std::fs::{File, OpenOptions};
use std::io::{Error, Read, Result};
use std::path::{Path, PathBuf};

use bytes::Buf;
use xxhash_rust::xxh3::xxh3_64;

const TRAILER: &[u8] = b"FJL\x03";
const CHUNK_BYTES: usize = 64 * 1024;

/// Checks all journals in `dir`; cuts a torn end off the newest one that has content, and its last batch if that has
/// the sequence number `failed_seqno` or a larger one.
pub(super) fn repair(dir: &Path, failed_seqno: Option<u64>) -> Result<()> {
    let mut newer_has_content = false;
    for path in newest_first(dir)? {
        let content = content(&path)?;
        let walk = walk(&content);
        let torn = content.get(walk.intact..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0));
        if walk.intact_after_damage || (torn && newer_has_content) {
            let what =
                format!("{} is damaged at byte {}, before intact records", path.display(), walk.intact);
            return Err(Error::other(what));
        }
        let failed = walk.last.filter(|last| failed_seqno.is_some_and(|seqno| last.seqno >= seqno));
        if !newer_has_content && (torn || failed.is_some()) {
            cut(&path, failed.map_or(walk.intact, |last| last.start))?;
        }
        newer_has_content |= !content.is_empty();
    }
    Ok(())
}

/// Whether nothing was ever written to the journals in `dir`.
pub(super) fn are_empty(dir: &Path) -> Result<bool> {
    let contents: Result<Vec<_>> = newest_first(dir)?.iter().map(|path| content(path)).collect();
    Ok(contents?.iter().all(Vec::is_empty))
}

fn cut(journal: &Path, keep: usize) -> Result<()> {
    tracing::warn!(journal = %journal.display(), keep, "cut an unacknowledged end off the log's journal");
    let file = OpenOptions::new().write(true).open(journal)?;
    file.set_len(keep as u64)?;
    file.sync_all()
}

/// The file without the preallocated zeros at its end, up to a chunk.
fn content(journal: &Path) -> Result<Vec<u8>> {
    let mut file = File::open(journal)?;
    let zeros = vec![0; CHUNK_BYTES];
    let (mut content, mut gap) = (Vec::new(), 0);
    loop {
        let mut chunk = Vec::new();
        file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(content);
        }
        if zeros.starts_with(&chunk) {
            gap += chunk.len();
        } else {
            content.resize(content.len() + gap, 0);
            content.append(&mut chunk);
            gap = 0;
        }
    }
}

fn newest_first(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    if !dir.try_exists()? {
        return Ok(Vec::new());
    }
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
    intact_after_damage: bool,
}

fn walk(content: &[u8]) -> Walk {
    let mut walk = Walk::default();
    while let Some(batch) = batch_at(content, walk.intact) {
        walk.intact = batch.end;
        walk.last = Some(batch);
    }
    walk.intact_after_damage =
        (walk.intact + 1..content.len()).any(|start| batch_at(content, start).is_some());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(seqno: u64, value: &[u8]) -> Vec<u8> {
        let mut item = vec![2, 0, 0];
        item.extend(7_u64.to_le_bytes());
        item.extend(1_u16.to_le_bytes());
        item.extend((value.len() as u32).to_le_bytes());
        item.extend((value.len() as u32).to_le_bytes());
        item.push(b'k');
        item.extend(value);
        let mut batch = vec![1];
        batch.extend(1_u32.to_le_bytes());
        batch.extend(seqno.to_le_bytes());
        batch.extend(&item);
        batch.push(3);
        batch.extend(xxh3_64(&item).to_le_bytes());
        batch.extend(TRAILER);
        batch
    }

    /// What is left of journals 0, 1, ... after a repair.
    fn repaired(journals: &[Vec<u8>], failed_seqno: Option<u64>) -> Result<Vec<Vec<u8>>> {
        let dir = tempfile::tempdir()?;
        let path = |id: usize| dir.path().join(format!("{id}.jnl"));
        for (id, journal) in journals.iter().enumerate() {
            std::fs::write(path(id), journal)?;
        }
        repair(dir.path(), failed_seqno)?;
        (0..journals.len()).map(|id| std::fs::read(path(id))).collect()
    }

    #[test]
    fn an_intact_journal_stays_as_it_is_with_its_preallocated_zeros() {
        let mut journal = [batch(1, b"one"), batch(2, &[9; 100_000])].concat();
        journal.resize(1 << 20, 0);
        assert_eq!(repaired(&[journal.clone()], None).unwrap(), [journal.clone()]);
        assert_eq!(repaired(&[journal.clone()], Some(3)).unwrap(), [journal]);
    }

    #[test]
    fn a_failed_batch_is_cut_off_whether_it_is_complete_or_not() {
        let (kept, failed) = (batch(1, b"one"), batch(2, b"two"));
        for length in 0..=failed.len() {
            let journal = [kept.as_slice(), &failed[..length], &[0; 50]].concat();
            let left = repaired(&[journal], Some(2)).unwrap().remove(0);
            assert_eq!(left[..kept.len()], kept, "{length} bytes of it");
            assert!(left[kept.len()..].iter().all(|byte| *byte == 0), "{length} bytes of it");
        }
    }

    #[test]
    fn a_failed_batch_is_found_although_a_new_empty_journal_was_begun_after_it() {
        let journals = [[batch(1, b"one"), batch(2, b"two")].concat(), vec![0; 500]];
        assert_eq!(repaired(&journals, Some(2)).unwrap(), [batch(1, b"one"), vec![0; 500]]);
    }

    #[test]
    fn damage_before_intact_batches_is_an_error_in_the_same_journal_and_in_an_older_one() {
        let whole = [batch(1, b"one"), batch(2, b"two"), batch(3, b"three")].concat();
        let one = batch(1, b"one").len();
        // fjall's checksum does not cover the sequence number.
        let covered = (0..2 * one).filter(|index| !(5..13).contains(&(index % one)));
        for index in covered {
            let mut damaged = whole.clone();
            damaged[index] ^= 0xff;
            assert!(repaired(&[damaged], None).is_err(), "byte {index}");
        }
        let torn = whole[..whole.len() - 1].to_vec();
        assert!(repaired(&[torn, batch(4, b"four")], None).is_err());
    }
}
