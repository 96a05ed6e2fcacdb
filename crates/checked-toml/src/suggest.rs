//! "Did you mean": the known name nearest to an unknown one.

/// The candidate that `word` is most likely a slip of: at most a third of its letters differ, where two swapped
/// neighbours are one slip, and case, `-`, `_` and spaces do not count. `None` where nothing is near.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest(word, candidates, |letters| letters / 3)
}

/// As [`did_you_mean`], where `word` may well be right: one or two letters differ, at most a fifth, and no digit
/// (`video_25` is no slip of `video_75`).
pub fn misspelt<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let alike = candidates.into_iter().filter(|candidate| digits(candidate) == digits(word));
    nearest(word, alike, |letters| (letters / 5).min(2))
}

/// `most` gives the slips that are allowed in so many letters.
fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    most: impl Fn(usize) -> usize,
) -> Option<&'a str> {
    let word = folded(word);
    let near = candidates.into_iter().filter_map(|candidate| {
        let folded = folded(candidate);
        let slips = distance(&word, &folded);
        (slips <= most(word.len().max(folded.len()))).then_some((slips, candidate))
    });
    near.min_by_key(|(slips, _)| *slips).map(|(_, candidate)| candidate)
}

fn folded(word: &str) -> Vec<char> {
    word.chars()
        .take(64)
        .filter(|letter| !matches!(letter, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &left) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, &right) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut least =
                (at(&row, j) + usize::from(left != right)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&right) && b.get(j - 1) == Some(&left);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_recognised() {
        let keys = ["conversion_window", "rolling_windows", "steps", "site"];
        assert_eq!(did_you_mean("conversion-window", keys), Some("conversion_window"));
        assert_eq!(did_you_mean("rolling_window", keys), Some("rolling_windows"));
        assert_eq!(did_you_mean("stpes", keys), Some("steps"));
        assert_eq!(did_you_mean("Site", keys), Some("site"));
        assert_eq!(did_you_mean("colour", keys), None);
    }

    #[test]
    fn a_name_that_may_be_right_is_a_slip_only_if_hardly_anything_differs() {
        let events = ["product_view", "add_to_cart", "video_25", "signup_start"];
        assert_eq!(misspelt("prodct_view", events), Some("product_view"));
        assert_eq!(misspelt("Product View", events), Some("product_view"));
        assert_eq!(misspelt("add_to_crat", events), Some("add_to_cart"));
        for other in ["video_75", "signup_submit", "page_view", "buy"] {
            assert_eq!(misspelt(other, events), None, "{other}");
        }
    }

    #[test]
    fn distance_counts_single_changes() {
        let count = |a: &str, b: &str| distance(&folded(a), &folded(b));
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", ""), 3);
        assert_eq!(count("ab", "ba"), 1);
        assert_eq!(count("kitten", "sitting"), 3);
    }
}
