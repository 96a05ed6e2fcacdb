//! No text costs much more than its length, whatever somebody makes it of.

use super::super::{json, text, walk};

/// Bytes that masking looks at.
fn read(mask: impl FnOnce()) -> usize {
    let before = walk::READ.get();
    mask();
    walk::READ.get() - before
}

/// Pieces of which the end of one may be taken for the beginning of something.
const PIECES: [&str; 18] = [
    "%40",
    "@",
    "a@",
    "a%40",
    "%40a.",
    "@a.",
    "a.b@",
    "sk_.",
    "sk_live_.",
    "sk-proj-.",
    "Bearer+",
    "Bearer /",
    "eyJ.",
    "eyJaaaaaaaa.",
    "4111 ",
    "4111-1111+",
    "1 ",
    "4111%20",
];

#[test]
fn sixteen_times_the_text_costs_sixteen_times_as_much() {
    for piece in PIECES {
        let cost = |bytes: usize| {
            let written = piece.repeat(bytes / piece.len());
            read(|| drop(text(&written)))
        };
        let (small, large) = (cost(4 << 10), cost(64 << 10));
        assert!(large <= 18 * small, "{piece}: {small}, {large}");
        // A sign is looked around as far as an address or a token reaches, and the shortest has one byte.
        assert!(large <= 200 * (64 << 10), "{piece}: {large}");
    }
}

#[test]
fn what_is_nested_costs_its_depth_at_most() {
    for piece in ["a@", "4111 ", "sk_live_."] {
        let cost = |bytes: usize| {
            let inner = format!("\"{}\"", piece.repeat(bytes / piece.len()));
            let nested = (0..32).fold(inner, |inner, level| match level % 2 {
                0 => format!("[{inner}]"),
                _ => format!("{{\"card\":{inner}}}"),
            });
            read(|| drop(json(&nested, &[])))
        };
        let (small, large) = (cost(4 << 10), cost(64 << 10));
        assert!(large <= 18 * small && large <= 200 * (64 << 10), "{piece}: {small}, {large}");
    }
}
