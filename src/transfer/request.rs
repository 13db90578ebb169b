//! What is asked of a transfer: an image, which platforms of it, and what comes with it.

use std::sync::Arc;

use crate::content::Source;
use crate::name::ImageName;
use crate::platform::{self, Platform};

/// The platform that is wanted of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformRequest {
    /// Which one.
    pub platform: Platform,
    /// Whether the user requested it: then a single-platform image must match it, too.
    pub explicit: bool,
    /// Whether nothing else will do: another architecture is never taken in its place, though its machines run it.
    pub exact: bool,
}

impl PlatformRequest {
    /// A platform that the user requested.
    pub fn explicit(platform: Platform) -> Self {
        Self { platform, explicit: true, exact: false }
    }

    /// A requested platform, to be passed on by name.
    pub fn exact(platform: Platform) -> Self {
        Self { platform, explicit: true, exact: true }
    }

    /// The best match for the host, without a request.
    pub fn implicit(platform: Platform) -> Self {
        Self { platform, explicit: false, exact: false }
    }

    /// Whether an image of this platform is what was wanted.
    pub(super) fn accepts(&self, own: &Platform) -> bool {
        let runs = platform::matches(&self.platform, own);
        runs && (!self.exact || platform::same_architecture(&self.platform, own))
    }
}

/// Which platforms of an index are wanted.
#[derive(Clone, Debug)]
pub enum PlatformSelection {
    /// One; the name then stands for its manifest.
    Single(PlatformRequest),
    /// Several; the name then stands for the index.
    SparseIndex(Vec<Platform>),
    /// Several; the name then stands for an index that lists only these and what attests them.
    FilteredIndex(Vec<Platform>),
    /// All that the name holds, attestations included; the name then stands for the index, where it is one.
    All,
    /// As `All`, without what its index names and is not there, as long as the manifest of some platform is. Of one
    /// platform the name then stands for its manifest.
    Available,
    /// As `All`; where the name holds only a manifest that was chosen from an index, everything that the index lists.
    OriginalIndex,
}

impl PlatformSelection {
    /// The requested platforms.
    pub(super) fn explicit(&self) -> Vec<PlatformRequest> {
        let all = |platforms: &[Platform], choice: fn(Platform) -> PlatformRequest| {
            platforms.iter().cloned().map(choice).collect()
        };
        match self {
            Self::Single(choice) if choice.explicit => vec![choice.clone()],
            Self::SparseIndex(platforms) => all(platforms, PlatformRequest::explicit),
            Self::FilteredIndex(platforms) => all(platforms, PlatformRequest::exact),
            Self::Single(_) | Self::All | Self::Available | Self::OriginalIndex => Vec::new(),
        }
    }

    /// Whether the name is to stand for the manifest itself, wherever it goes.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Self::Single(choice) if choice.exact)
    }
}

/// One image to move.
#[derive(Clone)]
pub struct ImageRequest {
    /// Where it is.
    pub source: Arc<dyn Source>,
    /// What it is called there.
    pub name: ImageName,
    /// Its reference, for people and reports.
    pub reference: String,
    /// What it is to be called at the target.
    pub target_name: ImageName,
    /// Which platforms of it.
    pub platforms: PlatformSelection,
}

impl std::fmt::Debug for ImageRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageRequest")
            .field("name", &self.name)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

/// What goes along with images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArtifactOptions {
    /// What refers to their manifests, and to that.
    pub referrers: bool,
    /// What cosign keeps under tags made of their digests.
    pub digest_tags: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_platform_accepts_variants_but_no_other_architecture() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for (wanted, own, by_default, exactly) in [
            ("linux/arm64", "linux/arm64/v8", true, true),
            ("linux/arm64", "linux/arm/v7", true, false),
            ("linux/arm/v7", "linux/arm/v6", true, true),
            ("linux/amd64/v3", "linux/amd64", true, true),
            ("linux/amd64", "linux/386", true, false),
            ("linux/amd64", "linux/arm64", false, false),
            ("linux/amd64", "windows/amd64", false, false),
        ] {
            let takes = |choice: PlatformRequest| choice.accepts(&platform(own));
            assert_eq!(
                takes(PlatformRequest::implicit(platform(wanted))),
                by_default,
                "{wanted} {own}"
            );
            assert_eq!(
                takes(PlatformRequest::explicit(platform(wanted))),
                by_default,
                "{wanted} {own}"
            );
            assert_eq!(takes(PlatformRequest::exact(platform(wanted))), exactly, "{wanted} {own}");
        }
    }
}
