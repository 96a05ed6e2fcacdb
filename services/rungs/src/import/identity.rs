//! What makes two imports the same one: site, mapping, content, and the time shift. From it come the import's id, under
//! which the collector stores its rows, and the rows' message ids.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::columns::Columns;
use crate::failure::Failure;

/// An import's id and the shift that is part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// 32 letters and digits.
    pub(super) import_id: String,
    pub(super) shift_minutes: Option<i64>,
}

impl Identity {
    /// The id of an import with this base and time shift.
    pub(super) fn new(base: &str, shift_minutes: Option<i64>) -> Self {
        let import_id = match shift_minutes {
            Some(minutes) => hex(hash(&["shift", base, &minutes.to_string()])),
            None => base.to_owned(),
        };
        Self { import_id, shift_minutes }
    }

    /// Identifies a row's event, also when it is sent again.
    pub(super) fn message_id(&self, row: u64) -> String {
        format!("{}-{row}", self.import_id)
    }
}

/// What identifies an import before its shift is known, and names the file of its position.
pub(super) fn base(
    file: &Path,
    columns: &Columns,
    site: &str,
    shift_to_now: bool,
) -> Result<String, Failure> {
    let content = content_hash(file)
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", file.display())))?;
    let shift = if shift_to_now { "to now" } else { "none" };
    let mut parts = vec!["import 1", site, &content, shift, &columns.visitor, &columns.event, &columns.time];
    for (name, column) in &columns.properties {
        parts.extend([name.as_str(), column.as_str()]);
    }
    Ok(hex(hash(&parts)))
}

fn content_hash(file: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hash.finalize().into())),
            bytes => hash.update(buffer.get(..bytes).unwrap_or_default()),
        }
    }
}

/// Each part is preceded by its length, so that they cannot run into each other.
fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn hex(hash: [u8; 32]) -> String {
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(property: &str) -> Columns {
        Columns {
            visitor: "who".into(),
            event: "what".into(),
            time: "when".into(),
            properties: vec![("channel".into(), property.into())],
        }
    }

    #[test]
    fn whatever_decides_what_rows_become_is_part_of_the_id() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::write(&one, "a").unwrap();
        std::fs::write(&two, "b").unwrap();
        let first = base(&one, &columns("ch"), "shop", false).unwrap();
        assert_eq!(base(&one, &columns("ch"), "shop", false).unwrap(), first);
        let others = [
            base(&two, &columns("ch"), "shop", false),
            base(&one, &columns("other"), "shop", false),
            base(&one, &columns("ch"), "blog", false),
            base(&one, &columns("ch"), "shop", true),
        ];
        assert!(others.into_iter().all(|other| other.unwrap() != first));
        let shifted = Identity::new(&first, Some(5));
        assert_eq!(shifted, Identity::new(&first, Some(5)));
        assert_ne!(shifted, Identity::new(&first, Some(6)));
        assert_eq!(Identity::new(&first, None).message_id(7), format!("{first}-7"));
    }
}
