//! Spans of time (`90m`, `7d`) and sizes (`4MiB`) as people write them in settings and plans.

/// Unit, milliseconds, longest first.
const DURATIONS: [(&str, i64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Unit, bytes, largest first.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Milliseconds of a whole number followed by `ms`, `s`, `m`, `h` or `d`. `None` for anything else, and beyond 64 bits.
///
/// ```
/// assert_eq!(checked_toml::units::duration_ms("90m"), Some(5_400_000));
/// assert_eq!(checked_toml::units::duration_ms("1.5h"), None);
/// ```
pub fn duration_ms(text: &str) -> Option<i64> {
    let (count, unit) = split(text)?;
    let (_, ms) = DURATIONS.into_iter().find(|(name, _)| *name == unit)?;
    count.parse::<i64>().ok()?.checked_mul(ms)
}

/// Bytes of a whole number followed by `B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1,024) or `KB`, `MB`, `GB`, `TB`
/// (powers of 1,000). `None` for anything else, and beyond 64 bits.
///
/// ```
/// assert_eq!(checked_toml::units::bytes("4MiB"), Some(4_194_304));
/// assert_eq!(checked_toml::units::bytes("4"), None);
/// ```
pub fn bytes(text: &str) -> Option<u64> {
    let (count, unit) = split(text)?;
    let (_, bytes) = SIZES.into_iter().find(|(name, _)| *name == unit)?;
    count.parse::<u64>().ok()?.checked_mul(bytes)
}

/// The shortest text that [`duration_ms`] reads as this span.
pub fn duration_text(ms: i64) -> String {
    let whole = DURATIONS.into_iter().find(|(_, unit)| ms != 0 && ms % unit == 0);
    let (name, unit) = whole.unwrap_or(("s", 1_000));
    format!("{}{name}", ms / unit)
}

/// The shortest text that [`bytes`] reads as this size, in powers of 1,024.
pub fn bytes_text(size: u64) -> String {
    let whole = SIZES.into_iter().filter(|(name, _)| name.contains('i') || *name == "B");
    let (name, unit) =
        whole.into_iter().find(|(_, unit)| size != 0 && size.is_multiple_of(*unit)).unwrap_or(("B", 1));
    format!("{}{name}", size / unit)
}

fn split(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits)?;
    (!count.is_empty()).then(|| (count, unit.strip_prefix(' ').unwrap_or(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        let cases = [("1s", 1_000), ("15ms", 15), ("24h", 86_400_000), ("7d", 604_800_000), ("10 s", 10_000)];
        assert!(cases.iter().all(|(text, ms)| duration_ms(text) == Some(*ms)));
        let wrong = ["", "s", "10", "-1s", "1w", "1.5h", "1h30m", "99999999999999999d", "1H"];
        assert!(wrong.iter().all(|text| duration_ms(text).is_none()));
    }

    #[test]
    fn sizes_are_a_whole_number_and_a_unit() {
        assert_eq!(bytes("32KiB"), Some(32_768));
        assert_eq!(bytes("10 MB"), Some(10_000_000));
        assert!(
            ["", "MiB", "4", "4mib", "-1B", "99999999TiB", "1.5MiB"].iter().all(|text| bytes(text).is_none())
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        for ms in [0, 1, 999, 1_000, 60_000, 5_400_000, 86_400_000, 604_800_000] {
            assert_eq!(duration_ms(&duration_text(ms)), Some(ms));
        }
        for size in [0, 1, 1_000, 1_024, 4 << 20, 3 << 30, (1 << 40) + 1] {
            assert_eq!(bytes(&bytes_text(size)), Some(size));
        }
        assert_eq!((duration_text(5_400_000), bytes_text(4 << 20)), ("90m".to_owned(), "4MiB".to_owned()));
    }
}
