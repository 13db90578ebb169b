//! Platforms: parsing, normalization and comparison.
//!
//! The rules are those of containerd's platforms package, which docker and nerdctl use.

mod architecture;
mod host;
mod parse;
mod percent;
pub(crate) mod rank;
mod windows;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::architecture::architecture;
pub use self::rank::{matches, same_architecture};
use crate::json::null_is_default;

/// The platform that an image runs on. Spec: image-spec `image-index.md`.
///
/// Its text form can be parsed with [`FromStr`](std::str::FromStr): `linux/arm64/v8`, `windows(10.0.17763)/amd64`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Platform {
    /// CPU architecture, named as in Go: `amd64`, `arm64`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    /// Operating system, named as in Go: `linux`, `windows`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// Operating system version; only Windows uses it.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Operating system features that the image needs.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// CPU variant, such as `v7` of `arm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Returns the host's platform, with the CPU variant for architectures that need it.
    pub fn host() -> Self {
        let (architecture, variant) = host::cpu();
        Self { architecture, os: host::os().to_owned(), variant, ..Self::default() }
    }

    /// Returns the platform with canonical names: `x86_64` becomes `amd64`, `arm64/v8` becomes `arm64`.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let os = match self.os.to_ascii_lowercase() {
            os if os.is_empty() => host::os().to_owned(),
            os if os == "macos" => "darwin".to_owned(),
            os => os,
        };
        let (architecture, variant) =
            architecture(&self.architecture, self.variant.as_deref().unwrap_or_default());
        let mut os_features = self.os_features.clone();
        // Every Windows host has it; few images list it.
        os_features.retain(|feature| !feature.is_empty() && feature != "win32k");
        os_features.sort();
        let os_version = self.os_version.clone().filter(|version| !version.is_empty());
        Self { architecture, os, os_version, os_features, variant }
    }

    /// Whether all fields are empty, as in Go's `{}` for an absent platform.
    pub(crate) fn is_empty(&self) -> bool {
        self.os.is_empty() && self.architecture.is_empty()
    }

    /// Whether it is the placeholder platform of attestations.
    pub(crate) fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.os.is_empty() {
            return f.write_str("unknown");
        }
        f.write_str(&self.os)?;
        let mut features: Vec<&String> = self.os_features.iter().collect();
        features.retain(|feature| !feature.is_empty());
        features.sort();
        let version = self.os_version.as_deref().unwrap_or_default();
        if !version.is_empty() || !features.is_empty() {
            write!(f, "({}", percent::encode(version))?;
            features.iter().try_for_each(|feature| write!(f, "+{}", percent::encode(feature)))?;
            f.write_str(")")?;
        }
        let further = [Some(&self.architecture), self.variant.as_ref()];
        let mut further = further.into_iter().flatten().filter(|part| !part.is_empty());
        further.try_for_each(|part| write!(f, "/{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(os: &str, architecture: &str, variant: &str) -> Platform {
        Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: Some(variant.into()),
            ..Platform::default()
        }
    }

    #[test]
    fn platform_is_normalized_as_in_containerd() {
        for (os, architecture, variant, expected) in [
            ("Linux", "x86_64", "", "linux/amd64"),
            ("linux", "x86-64", "V1", "linux/amd64"),
            ("linux", "amd64", "v3", "linux/amd64/v3"),
            ("linux", "i386", "v2", "linux/386"),
            ("linux", "AArch64", "", "linux/arm64"),
            ("linux", "arm64", "v8.0", "linux/arm64"),
            ("linux", "arm64", "9.0", "linux/arm64/v9"),
            ("linux", "arm64", "v8.4", "linux/arm64/v8.4"),
            ("linux", "arm", "", "linux/arm/v7"),
            ("linux", "arm", "6", "linux/arm/v6"),
            ("linux", "armhf", "v6", "linux/arm/v7"),
            ("linux", "armel", "", "linux/arm/v6"),
            ("linux", "ppc64le", "", "linux/ppc64le"),
            ("macOS", "arm64", "", "darwin/arm64"),
        ] {
            let normal = platform(os, architecture, variant).normalized();
            assert_eq!(normal.to_string(), expected);
            assert_eq!(normal.normalized(), normal);
        }
    }

    #[test]
    fn host_platform_round_trips() {
        let host = Platform::host();
        assert_eq!(host.to_string().parse::<Platform>().unwrap().normalized(), host.normalized());
        assert_eq!(host.normalized().to_string(), host.to_string());
    }

    #[test]
    fn platform_shows_os_version_and_features() {
        let windows = Platform {
            os_version: Some("10.0.20348.1".into()),
            os_features: ["win32k", "", "b+c", "a%"].map(str::to_owned).to_vec(),
            variant: None,
            ..platform("windows", "amd64", "")
        };
        assert_eq!(windows.to_string(), "windows(10.0.20348.1+a%25+b%2Bc+win32k)/amd64");
        assert_eq!(windows.normalized().os_features, ["a%", "b+c"]);
        assert_eq!(Platform::default().to_string(), "unknown");
    }

    #[test]
    fn platform_json_with_nulls_is_parsed() {
        let text = r#"{"architecture":"arm64","os":"linux","os.features":null,"variant":"v8"}"#;
        let platform: Platform = serde_json::from_str(text).unwrap();
        assert_eq!(platform.to_string(), "linux/arm64/v8");
        let empty: Platform = serde_json::from_str(r#"{"os":null,"features":["sse4"]}"#).unwrap();
        assert!(empty.is_empty());
    }
}
