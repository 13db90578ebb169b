//! Requests: an image, its platforms, and the artifacts that come with it.

use std::sync::Arc;

use crate::content::{Presence, Rebuilder, Source};
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::name::ImageName;
use crate::platform::{self, Platform};
use crate::setters::setters;

/// A requested platform.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlatformRequest {
    /// The platform.
    pub platform: Platform,
    /// Whether the user requested it. Then an image without an index must match it, too.
    pub explicit: bool,
    /// Rejects other architectures, even those that the platform can run.
    pub exact: bool,
}

impl PlatformRequest {
    /// A platform that the user requested.
    pub fn explicit(platform: Platform) -> Self {
        Self { platform, explicit: true, exact: false }
    }

    /// A requested platform for an image that is passed on: other architectures are rejected.
    pub fn exact(platform: Platform) -> Self {
        Self { platform, explicit: true, exact: true }
    }

    /// The host's platform, or what it can run.
    pub fn implicit(platform: Platform) -> Self {
        Self { platform, explicit: false, exact: false }
    }

    /// The platform in `DOCKER_DEFAULT_PLATFORM`, as if the user requested it; the host's if that is unset or empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::error::ErrorKind::InvalidInput) if that is no platform.
    pub fn from_env() -> Result<Self> {
        match std::env::var("DOCKER_DEFAULT_PLATFORM").ok().filter(|text| !text.is_empty()) {
            Some(text) => text.parse().map(Self::explicit),
            None => Ok(Self::implicit(Platform::host())),
        }
    }

    /// Whether an image of this platform satisfies the request.
    pub(super) fn accepts(&self, platform: &Platform) -> bool {
        let runs = platform::matches(&self.platform, platform);
        runs && (!self.exact || platform::same_architecture(&self.platform, platform))
    }
}

/// The platforms of an image to transfer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlatformSelection {
    /// One platform; the name then refers to its manifest.
    Single(PlatformRequest),
    /// Several platforms; the name then refers to the index.
    SparseIndex(Vec<Platform>),
    /// Several platforms; the name then refers to an index of only these and their attestations.
    FilteredIndex(Vec<Platform>),
    /// Everything, including attestations; the name then refers to the index, if there is one.
    All,
    /// As `All`, without manifests that the source lacks, if it has the manifest of at least one platform. If it has exactly one,
    /// the name then refers to that.
    Available,
    /// As `All`. If the source has only a manifest that was selected from an index: everything that the index lists.
    OriginalIndex,
}

impl PlatformSelection {
    /// Returns the platforms that the user requested.
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

    /// Whether the name must refer to the manifest itself at every target.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Self::Single(choice) if choice.exact)
    }
}

/// One image to transfer.
#[derive(Clone)]
#[non_exhaustive]
pub struct ImageRequest {
    /// The source.
    pub source: Arc<dyn Source>,
    /// Its name at the source.
    pub name: ImageName,
    /// Its reference, for messages and reports.
    pub reference: String,
    /// Its name at the target.
    pub target_name: ImageName,
    /// The platforms to transfer.
    pub platforms: PlatformSelection,
    /// The artifacts to transfer with it; `None` for those in the options of the run.
    pub artifacts: Option<ArtifactOptions>,
    /// What the target has just answered about its name there, so that it need not be asked again.
    pub found_at_target: Option<Presence<Descriptor>>,
    /// Rebuilds missing layers from what the target has. Not used for a blob that several targets lack.
    pub rebuilder: Option<Arc<dyn Rebuilder>>,
}

impl ImageRequest {
    /// Everything that the source has under this name, under the same name at the target.
    pub fn new(source: Arc<dyn Source>, name: ImageName) -> Self {
        let location = &source.endpoint().location;
        let reference = match &name {
            ImageName::Only => location.clone(),
            ImageName::Digest(digest) => format!("{location}@{digest}"),
            ImageName::Tag(text) | ImageName::Layout(text) => format!("{location}:{text}"),
        };
        let (target_name, platforms) = (name.clone(), PlatformSelection::All);
        Self {
            source,
            name,
            reference,
            target_name,
            platforms,
            artifacts: None,
            found_at_target: None,
            rebuilder: None,
        }
    }

    setters! {
        value into reference: String;
        value target_name: ImageName;
        value platforms: PlatformSelection;
        optional artifacts: ArtifactOptions;
        optional found_at_target: Presence<Descriptor>;
        optional rebuilder: Arc<dyn Rebuilder>;
    }
}

impl std::fmt::Debug for ImageRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageRequest")
            .field("name", &self.name)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

/// Artifacts to transfer with images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArtifactOptions {
    /// Referrers of their manifests, and referrers of those.
    pub referrers: bool,
    /// Tags that cosign derives from their digests.
    pub digest_tags: bool,
}

impl ArtifactOptions {
    setters! {
        flag referrers;
        flag digest_tags;
    }
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
