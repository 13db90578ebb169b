//! Selects entries of an index by platform.

use std::collections::BTreeSet;

use crate::descriptor::Descriptor;
use crate::platform::Platform;
use crate::platform::rank::PlatformRank;

/// Returns the entries that run on this platform, best first.
///
/// A CPU also runs images for older CPUs, so a match need not be equal. Attestations never match. Entries without a
/// platform come last, because only their config can tell.
pub fn entries_for_platform<'a>(
    requested: &Platform,
    entries: &'a [Descriptor],
) -> Vec<&'a Descriptor> {
    let requested = requested.normalized();
    let mut found: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.is_attestation())
        .filter_map(|entry| {
            let rank = match &entry.platform {
                None => None,
                Some(platform) => Some(PlatformRank::new(&requested, platform)?),
            };
            Some((rank, entry))
        })
        .collect();
    // A stable sort keeps the index's order among equals.
    found.sort_by_key(|(rank, _)| (rank.is_none(), *rank));
    found.into_iter().map(|(_, entry)| entry).collect()
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
        entries_for_platform(&requested.parse().unwrap(), &entries).into_iter().map(name).collect()
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
        assert_eq!(
            entries_for_platform(&"linux/amd64".parse().unwrap(), &entries),
            [exact, narrow, bare]
        );
        assert_eq!(entries_for_platform(&"unknown/unknown".parse().unwrap(), &entries), [bare]);
        assert_eq!(available_platforms(&entries), ["linux/386", "linux/amd64"]);
    }
}
