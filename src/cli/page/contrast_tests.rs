//! The contrast of the page's colors, by WCAG 2.2: 4.5 for text, 3 for what pictures are made of.

use std::collections::{BTreeMap, BTreeSet};

use super::STYLE;

/// Colors of text, and what it is drawn on.
const TEXT: [(&str, &[&str]); 6] = [
    ("text", &["page", "surface", "sunk", "added", "modified", "deleted", "wasted", "directory"]),
    ("muted", &["page", "surface", "sunk"]),
    ("link", &["page", "surface", "sunk"]),
    ("error", &["surface"]),
    ("warning", &["surface"]),
    ("note", &["surface"]),
];

/// Colors of bars, of the edges of tiles and of the focus, and what they are next to.
const GRAPHICS: [(&str, &[&str]); 11] = [
    ("all", &["surface", "sunk"]),
    ("some", &["surface", "sunk"]),
    ("own", &["surface", "sunk"]),
    ("free", &["surface", "sunk"]),
    ("part", &["surface", "sunk"]),
    ("added-line", &["surface", "sunk", "added"]),
    ("modified-line", &["surface", "sunk", "modified"]),
    ("deleted-line", &["surface", "sunk", "deleted"]),
    ("wasted-line", &["surface", "sunk", "wasted"]),
    ("directory-line", &["surface", "sunk", "directory"]),
    ("focus", &["page", "surface", "sunk", "added", "modified", "deleted", "wasted", "directory"]),
];

/// The opacity of the second line of a tile.
const OPACITY: f64 = 0.85;

type Color = [f64; 3];

/// The palettes for light and dark, in this order.
fn palettes() -> Vec<BTreeMap<&'static str, Color>> {
    let blocks = STYLE.split(":root {").skip(1).map(|rest| rest.split_once('}').unwrap().0);
    let color = |text: &str| {
        let digits = text.trim().strip_prefix('#').unwrap();
        [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0)
    };
    let one = |block: &'static str| {
        let pairs = block.split(';').filter_map(|line| line.trim().strip_prefix("--"));
        let pairs = pairs.map(|pair| pair.split_once(':').unwrap());
        pairs.map(|(name, value)| (name, color(value))).collect()
    };
    blocks.map(one).collect()
}

fn luminance(color: Color) -> f64 {
    let linear = |part: f64| {
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = color.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(one: Color, other: Color) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn check(palette: &BTreeMap<&str, Color>, pairs: &[(&str, &[&str])], least: f64, opacity: f64) {
    for (front, backs) in pairs {
        for back in *backs {
            let (above, below) = (palette[front], palette[back]);
            let mixed = std::array::from_fn(|at| above[at] * opacity + below[at] * (1.0 - opacity));
            let found = contrast(mixed, below);
            assert!(found >= least, "{front} on {back}: {found:.2}, not {least}");
        }
    }
}

#[test]
fn contrast_of_black_and_white_equals_standard() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    let gray = f64::from(0x77_u8) / 255.0;
    assert!((contrast([gray; 3], [1.0; 3]) - 4.48).abs() < 0.01);
}

#[test]
fn colors_have_contrast_of_wcag_in_light_and_dark() {
    let palettes = palettes();
    assert_eq!(palettes.len(), 2);
    for palette in &palettes {
        check(palette, &TEXT, 4.5, 1.0);
        check(palette, &TEXT[..1], 4.5, OPACITY);
        check(palette, &GRAPHICS, 3.0, 1.0);
    }
    assert!(STYLE.contains(&format!("opacity: {OPACITY}")));
    assert_eq!(STYLE.matches("opacity:").count(), 1);
}

#[test]
fn every_color_of_palettes_is_checked() {
    let names = |pairs: &[(&'static str, &'static [&'static str])]| {
        let both = pairs.iter().flat_map(|(front, backs)| backs.iter().chain([front]).copied());
        both.collect::<BTreeSet<_>>()
    };
    let checked: BTreeSet<&str> = names(&TEXT).union(&names(&GRAPHICS)).copied().collect();
    for palette in palettes() {
        // Lines between sections carry no meaning.
        let keys = palette.keys().copied().filter(|name| *name != "line");
        assert_eq!(keys.collect::<BTreeSet<&str>>(), checked);
    }
}
