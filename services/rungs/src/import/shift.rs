//! `--time-shift-to-now`: by how much all times are moved, so that a file of the past looks as if it had just ended.

use std::path::Path;

use super::columns::Columns;
use super::rows::Rows;
use super::time;
use crate::failure::Failure;

const MINUTE_MS: i64 = 60_000;

/// Whole minutes after which the last event of the file is at most a minute before now, and not after it.
pub(super) fn minutes(file: &Path, columns: &Columns, now_ms: i64) -> Result<i64, Failure> {
    let mut last = None;
    for row in Rows::open(file, columns)? {
        let row = row.map_err(|error| Failure::new(format!("{} cannot be read: {error}", file.display())))?;
        last = last.max(row.1.ok().and_then(|row| time::parse(&row.time)));
    }
    let last = last.ok_or_else(|| Failure::new(format!("{} has no row with a time", file.display())))?;
    Ok((now_ms - last).div_euclid(MINUTE_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_comes_to_lie_less_than_a_minute_before_now() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.csv");
        std::fs::write(&file, "who,what,when\na,x,1700000000123\nb,x,1700000030000\nc,x,never\n").unwrap();
        let columns =
            Columns { visitor: "who".into(), event: "what".into(), time: "when".into(), properties: vec![] };
        for (now, expected) in
            [(1_700_000_030_000, 0), (1_700_000_089_999, 0), (1_700_000_090_000, 1), (1_700_000_000_000, -1)]
        {
            assert_eq!(minutes(&file, &columns, now).unwrap(), expected);
        }
    }
}
