//! The page's colours in light and dark: what people read against, by WCAG 2.2's ratios (AA: 4.5 for text, 3 for what is
//! told by shape).

const STYLE: &str = include_str!("../../assets/style.css");

/// A scheme's colours by name.
struct Palette(Vec<(String, [f64; 3])>);

impl Palette {
    fn of(block: &str) -> Self {
        let named = block.split("--").skip(1).filter_map(|line| {
            let (name, rest) = line.split_once(": #")?;
            let part =
                |at: usize| Some(f64::from(u8::from_str_radix(rest.get(at..at + 2)?, 16).ok()?) / 255.0);
            Some((name.to_owned(), [part(0)?, part(2)?, part(4)?]))
        });
        Self(named.collect())
    }

    fn luminance(&self, name: &str) -> f64 {
        let (_, parts) =
            self.0.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no --{name}"));
        let linear = parts
            .map(|part| if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    /// 1 to 21.
    fn ratio(&self, one: &str, other: &str) -> f64 {
        let (one, other) = (self.luminance(one), self.luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }
}

#[test]
fn everything_can_be_read_in_both_schemes() {
    let blocks: Vec<&str> =
        STYLE.split(":root {").skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
    assert_eq!(blocks.len(), 2, "light, then dark");
    let white = Palette::of("--a: #ffffff;--b: #000000;");
    assert!((white.ratio("a", "b") - 21.0).abs() < 0.01, "the formula is WCAG's");
    for (scheme, block) in ["light", "dark"].iter().zip(blocks) {
        let palette = Palette::of(block);
        let check = |front: &str, back: &str, least: f64| {
            let ratio = palette.ratio(front, back);
            assert!(ratio >= least, "{scheme}: --{front} on --{back} is {ratio:.2}, below {least}");
        };
        for back in ["paper", "card", "track"] {
            ["ink", "quiet", "good-text", "bad"].iter().for_each(|text| check(text, back, 4.5));
        }
        check("macro", "card", 4.5);
        check("macro", "paper", 4.5);
        check("paper", "ink", 4.5);
        // Bars, lines, dots and the outline of the focus; borders of what can be operated; open beside taken.
        for back in ["paper", "card", "track"] {
            ["yes", "macro"].iter().for_each(|shape| check(shape, back, 3.0));
        }
        check("edge", "card", 3.0);
        check("edge", "paper", 3.0);
        check("yes", "yes-soft", 3.0);
        check("macro", "macro-soft", 3.0);
    }
}
