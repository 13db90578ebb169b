//! Selects entries of an index by platform.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::Platform;
use super::windows::{WindowsVersion, runs_on};
use crate::descriptor::Descriptor;

/// Returns the entries that run on this platform, best first.
///
/// A CPU also runs images for older CPUs, so a match need not be equal. Attestations never match. Entries without a
/// platform come last, because only their config can tell.
pub fn select<'a>(requested: &Platform, entries: &'a [Descriptor]) -> Vec<&'a Descriptor> {
    let requested = requested.normalized();
    let mut found: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.is_attestation())
        .filter_map(|entry| {
            let rank = match &entry.platform {
                None => Rank::LAST,
                Some(own) => Rank::new(&requested, own)?,
            };
            Some((rank, entry))
        })
        .collect();
    // A stable sort keeps the index's order among equals.
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, entry)| entry).collect()
}

/// Whether an image for the platform `own` runs on the platform `requested`.
pub fn matches(requested: &Platform, own: &Platform) -> bool {
    Rank::new(&requested.normalized(), own).is_some()
}

/// Whether both have the same architecture and operating system, regardless of variants. `amd64` machines run `386` as
/// well, but that is a different architecture.
pub fn same_architecture(one: &Platform, other: &Platform) -> bool {
    let (one, other) = (one.normalized(), other.normalized());
    one.architecture == other.architecture && one.os == other.os
}

/// Returns the platforms of the entries, each once, without attestations.
pub fn available_platforms(entries: &[Descriptor]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    entries
        .iter()
        .filter(|entry| !entry.is_attestation() && entry.media_type.is_document())
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| !platform.is_unknown())
        .map(Platform::to_string)
        .filter(|text| seen.insert(text.clone()))
        .collect()
}

/// How well the CPU runs an entry; less is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum CpuFit {
    /// Position in the list of what the CPU runs, best first.
    Variant(usize),
    /// The entry has no platform.
    Unknown,
}

/// How well an entry fits; less is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    cpu: CpuFit,
    /// An image with more features is more specific to this host.
    features: Reverse<usize>,
    /// The newest Windows version that runs is best.
    version: Reverse<WindowsVersion>,
}

impl Rank {
    const LAST: Self =
        Self { cpu: CpuFit::Unknown, features: Reverse(0), version: Reverse(WindowsVersion::NONE) };

    /// Returns the rank of an image for `own` on the normalized platform `requested`; `None` if it does not run.
    fn new(requested: &Platform, own: &Platform) -> Option<Self> {
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
            cpu: CpuFit::Variant(generation),
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
    use crate::media::MediaType;

    fn entry(platform: &str) -> Descriptor {
        let mut entry = Descriptor::for_bytes(MediaType::OCI_MANIFEST, platform.as_bytes());
        entry.platform = (platform != "-").then(|| platform.parse().unwrap());
        entry
    }

    fn chosen(requested: &str, offered: &[&str]) -> Vec<String> {
        let entries: Vec<_> = offered.iter().map(|platform| entry(platform)).collect();
        let name = |entry: &Descriptor| {
            entry.platform.as_ref().map_or("-".to_owned(), Platform::to_string)
        };
        select(&requested.parse().unwrap(), &entries).into_iter().map(name).collect()
    }

    #[test]
    fn select_orders_compatible_cpu_variants() {
        assert_eq!(
            chosen(
                "linux/amd64/v3",
                &["linux/386", "linux/amd64", "linux/amd64/v4", "linux/amd64/v2"]
            ),
            ["linux/amd64/v2", "linux/amd64", "linux/386"]
        );
        assert_eq!(
            chosen("linux/arm/v7", &["linux/arm/v6", "linux/arm", "linux/arm/v8", "linux/arm/v5"]),
            ["linux/arm", "linux/arm/v6", "linux/arm/v5"]
        );
        assert_eq!(
            chosen(
                "linux/arm64",
                &["linux/arm", "linux/arm64/v8.1", "linux/arm64/v8", "linux/amd64"]
            ),
            ["linux/arm64/v8", "linux/arm"]
        );
        assert_eq!(
            chosen(
                "linux/arm64/v9.1",
                &[
                    "linux/arm64",
                    "linux/arm64/v8.6",
                    "linux/arm64/v8.7",
                    "linux/arm64/v9",
                    "linux/arm64/v9.2"
                ]
            ),
            ["linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64"]
        );
        for lonely in ["linux/riscv64", "linux/arm64/v10", "linux/arm/v4", "linux/other/v9"] {
            assert_eq!(chosen(lonely, &["linux/arm64", "linux/arm/v5", lonely]), [lonely]);
        }
    }

    #[test]
    fn select_requires_and_prefers_os_features() {
        let offered = ["linux/amd64", "linux(+a)/amd64", "linux(+a+b)/amd64", "linux(+b)/amd64"];
        assert_eq!(chosen("linux/amd64", &offered), ["linux/amd64"]);
        assert_eq!(
            chosen("linux(+a+b+c)/amd64", &offered),
            ["linux(+a+b)/amd64", "linux(+a)/amd64", "linux(+b)/amd64", "linux/amd64"]
        );
    }

    #[test]
    fn select_windows_compatible_builds() {
        let offered = [
            "windows/amd64",
            "windows(10.0.17763.5)/amd64",
            "windows(10.0.20348.1)/amd64",
            "windows(10.0.20348.9)/amd64",
            "windows(10.0.26100.1)/amd64",
        ];
        assert_eq!(
            chosen("windows(10.0.17763.1)/amd64", &offered),
            ["windows(10.0.17763.5)/amd64", "windows/amd64"]
        );
        for host in ["20348", "22621", "26100"] {
            let found = chosen(&format!("windows(10.0.{host})/amd64"), &offered);
            let newest = if host == "26100" { "26100.1" } else { "20348.9" };
            assert_eq!(found[0], format!("windows(10.0.{newest})/amd64"), "{host}");
            assert!(!found.contains(&offered[1].to_owned()));
        }
        assert_eq!(chosen("windows(10.0.26200)/amd64", &offered)[..2], [offered[4], offered[0]]);
        assert_eq!(chosen("windows/amd64", &offered).len(), 5);
        assert_eq!(chosen("windows(11.0.20348)/amd64", &offered), ["windows/amd64"]);
    }

    #[test]
    fn select_skips_attestations_and_puts_unknown_last() {
        let mut attestation = entry("linux/amd64");
        attestation
            .annotations
            .insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
        let entries = [
            entry("-"),
            attestation,
            entry("unknown/unknown"),
            entry("linux/386"),
            entry("linux/amd64"),
        ];
        let [bare, _, _, narrow, exact] = &entries;
        assert_eq!(select(&"linux/amd64".parse().unwrap(), &entries), [exact, narrow, bare]);
        assert_eq!(select(&"unknown/unknown".parse().unwrap(), &entries), [bare]);
        assert_eq!(available_platforms(&entries), ["linux/386", "linux/amd64"]);
    }

    #[test]
    fn config_without_platform_does_not_match() {
        let requested: Platform = "linux/amd64".parse().unwrap();
        assert!(matches(&requested, &"linux/amd64".parse().unwrap()));
        assert!(!matches(&requested, &Platform::default()));
        assert!(!matches(&requested, &"windows/amd64".parse().unwrap()));
    }
}
