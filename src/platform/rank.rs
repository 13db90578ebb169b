//! Compares platforms.

use std::cmp::Reverse;

use super::Platform;
use super::windows::{WindowsVersion, runs_on};

/// Whether an image for the platform `own` runs on the platform `requested`.
pub fn matches(requested: &Platform, own: &Platform) -> bool {
    PlatformRank::new(&requested.normalized(), own).is_some()
}

/// Whether both have the same architecture and operating system, regardless of variants. `amd64` machines run `386` as
/// well, but that is a different architecture.
pub fn same_architecture(one: &Platform, other: &Platform) -> bool {
    let (one, other) = (one.normalized(), other.normalized());
    one.architecture == other.architecture && one.os == other.os
}

/// How well an image fits a platform; less is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlatformRank {
    /// Position in the list of what the CPU runs, best first.
    generation: usize,
    /// An image with more features is more specific to this host.
    features: Reverse<usize>,
    /// The newest Windows version that runs is best.
    version: Reverse<WindowsVersion>,
}

impl PlatformRank {
    /// Returns the rank of an image for `own` on the normalized platform `requested`; `None` if it does not run.
    pub(crate) fn new(requested: &Platform, own: &Platform) -> Option<Self> {
        if own.is_unknown() {
            return None;
        }
        let own = own.normalized();
        let variant = own.variant.as_deref().unwrap_or_default();
        let generation =
            compatible_variants(requested).iter().position(|(architecture, runs)| {
                *architecture == own.architecture && runs == variant
            })?;
        let has_features =
            own.os_features.iter().all(|feature| requested.os_features.contains(feature));
        if own.os != requested.os || !has_features {
            return None;
        }
        let mut version = WindowsVersion::NONE;
        if own.os == "windows" {
            let text = own.os_version.as_deref().unwrap_or_default();
            version = WindowsVersion::parse(text).unwrap_or(WindowsVersion::NONE);
            if !runs_on(requested.os_version.as_deref().unwrap_or_default(), text) {
                return None;
            }
        }
        Some(Self {
            generation,
            features: Reverse(own.os_features.len()),
            version: Reverse(version),
        })
    }
}

/// Returns the normalized architectures and variants that the CPU runs, best first.
fn compatible_variants(requested: &Platform) -> Vec<(&str, String)> {
    let architecture = requested.architecture.as_str();
    let variant = requested.variant.clone().unwrap_or_default();
    let number = variant.strip_prefix('v').and_then(|number| number.parse::<u8>().ok());
    match (architecture, number) {
        ("amd64", number) => {
            let mut all = vec![(architecture, variant)];
            let lower = (1..number.unwrap_or(1)).rev();
            // The canonical form of v1 has no variant.
            all.extend(
                lower.map(|n| (architecture, if n > 1 { format!("v{n}") } else { String::new() })),
            );
            all.push(("386", String::new()));
            all
        }
        ("arm", Some(number)) if number >= 5 => arm(number).collect(),
        ("arm64", _) => match arm64(&variant) {
            Some(variants) => {
                let wide = variants.into_iter().map(|variant| ("arm64", variant));
                wide.chain(arm(8)).collect()
            }
            None => vec![(architecture, variant)],
        },
        _ => vec![(architecture, variant)],
    }
}

fn arm(number: u8) -> impl Iterator<Item = (&'static str, String)> {
    (5..=number).rev().map(|number| ("arm", format!("v{number}")))
}

/// Returns the 64-bit variants that this one runs; `None` if it is unknown, and then runs only itself.
fn arm64(variant: &str) -> Option<Vec<String>> {
    let (major, minor) = match variant {
        "" => ("v8", 0),
        _ => match variant.split_once('.') {
            Some((major, minor)) => (major, minor.parse::<u8>().ok()?),
            None => (variant, 0),
        },
    };
    let down = |major: &str, from: u8| {
        let name = |minor| match (major, minor) {
            ("v8", 0) => String::new(),
            (_, 0) => major.to_owned(),
            _ => format!("{major}.{minor}"),
        };
        (0..=from).rev().map(name).collect::<Vec<_>>()
    };
    match (major, minor) {
        ("v8", 0..=9) => Some(down("v8", minor)),
        // v9.0 includes v8.5, and so on up to v8.9.
        ("v9", 0..=7) => Some([down("v9", minor), down("v8", (minor + 5).min(9))].concat()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_without_platform_does_not_match() {
        let requested: Platform = "linux/amd64".parse().unwrap();
        assert!(matches(&requested, &"linux/amd64".parse().unwrap()));
        assert!(!matches(&requested, &Platform::default()));
        assert!(!matches(&requested, &"windows/amd64".parse().unwrap()));
    }
}
