//! Image references as docker users write them: `alpine`, `ghcr.io/org/app:1.2`, `[::1]:5000/app@sha256:…`.
//!
//! Grammar and defaults are those of distribution/reference. Prefixes such as `docker://` belong to the command line.

mod digest_tag;
pub(crate) mod docker_hub;
mod grammar;
mod host;
mod parse;

use std::fmt;

pub(crate) use self::digest_tag::referrers_tag;
pub use self::digest_tag::{digest_tags, is_digest_tag, is_pinned, is_referrers_tag};
use self::grammar::check_tag;
pub use self::grammar::{is_repository, is_tag};
pub use self::host::{registry_and_namespace, registry_only};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;

const DEFAULT_TAG: &str = "latest";

/// A registry, a repository in it, and a tag, a digest or both.
///
/// `Display` writes all parts, including defaults, and its text parses to an equal value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Returns the registry's host, with the port if given: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the path in the registry: `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns `registry/repository`: `docker.io/library/alpine`.
    pub fn repository_name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the tag. If there is a digest too, the tag does not select the manifest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, which selects the manifest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the name to resolve at the registry: the digest if given, else the tag.
    pub fn name(&self) -> ImageName {
        match &self.digest {
            Some(digest) => ImageName::Digest(digest.clone()),
            None => ImageName::Tag(self.tag().unwrap_or(DEFAULT_TAG).to_owned()),
        }
    }

    /// Returns the image's name in a layout: `registry/repository:tag`, or `registry/repository@digest` without a tag.
    ///
    /// Use the whole reference to look it up: a digest beside the tag must match the image.
    pub fn store_name(&self) -> String {
        let Self { registry, repository, .. } = self;
        match (&self.tag, &self.digest) {
            (None, Some(digest)) => format!("{registry}/{repository}@{digest}"),
            (tag, _) => {
                format!("{registry}/{repository}:{}", tag.as_deref().unwrap_or(DEFAULT_TAG))
            }
        }
    }

    /// Returns the same repository with this tag, without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        check_tag(tag).map_err(|reason| {
            Error::new(ErrorKind::InvalidInput, format!("tag `{tag}`")).with_reason(reason)
        })?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// Returns the same repository without tag and digest, as [`Reference::repository_only`] parses it.
    #[must_use]
    pub fn without_name(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }
}

/// Returns the full name if this is the name of an image in a registry, otherwise the name itself.
pub(crate) fn full_name(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |reference| reference.store_name())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "8d1f24a6e3c95b70f1e2d3c4b5a697887766554433221100ffeeddccbbaa9900";

    fn read(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn latest_is_default_only_without_tag_and_digest() {
        let pinned = format!("alpine@sha256:{HEX}");
        assert_eq!(read("alpine").to_string(), "docker.io/library/alpine:latest");
        assert_eq!(read(&pinned).tag(), None);
        assert_eq!(read(&pinned).to_string(), format!("docker.io/library/{pinned}"));
    }

    #[test]
    fn digest_identifies_and_tag_names() {
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        let both = read(&format!("ghcr.io/org/app:1.2@{digest}"));
        assert_eq!(both.name(), ImageName::Digest(digest.clone()));
        assert_eq!(both.store_name(), "ghcr.io/org/app:1.2");
        let pinned = read(&format!("ghcr.io/org/app@{digest}"));
        assert_eq!(pinned.store_name(), format!("ghcr.io/org/app@{digest}"));
        let tagged = read("ghcr.io/org/app");
        assert_eq!(tagged.name(), ImageName::Tag("latest".into()));
        assert_eq!(tagged.store_name(), "ghcr.io/org/app:latest");
        assert_eq!(both.with_tag("2").unwrap().to_string(), "ghcr.io/org/app:2");
        assert_eq!(both.with_tag("a/b").unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn repository_with_tag_or_digest_is_rejected() {
        let repository = Reference::repository_only("alpine").unwrap();
        assert_eq!(repository.to_string(), "docker.io/library/alpine");
        assert_eq!(repository.with_tag("1").unwrap(), read("alpine:1"));
        for (text, bare) in [
            ("alpine:3.14".to_owned(), "tag `3.14`: `alpine`"),
            (format!("reg:80/a@sha256:{HEX}"), "digest: `reg:80/a`"),
            (format!("reg:80/a:1@sha256:{HEX}"), "tag `1`: `reg:80/a`"),
            ("localhost:5000".to_owned(), "is a registry, expected a repository in it"),
        ] {
            let refusal = Reference::repository_only(&text).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::InvalidInput);
            assert!(refusal.to_string().ends_with(bare), "{refusal}");
        }
    }

    #[test]
    fn invalid_reference_names_the_text() {
        let refusal = "Alpine".parse::<Reference>().unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::InvalidInput);
        assert_eq!(refusal.to_string(), "reference `Alpine`: `Alpine` must be lowercase: `alpine`");
    }

    /// Text that is often a valid reference, so that both results are tested.
    fn nearly() -> impl Strategy<Value = String> {
        let host = "(([a-zA-Z0-9.-]{1,8}|\\[[0-9a-f:]{2,9}\\])(:[0-9]{0,6})?/)?";
        let path = "[a-zA-Z0-9]{1,5}([._/-]{1,2}[a-z0-9]{1,5}){0,3}";
        let tag = "(:[a-zA-Z0-9_.-]{0,6})?";
        let digest = "(@(sha256|md5):[0-9a-f]{64})?";
        proptest::string::string_regex(&[host, path, tag, digest].concat()).unwrap()
    }

    proptest! {
        #[test]
        fn accepted_reference_round_trips(text in prop_oneof![nearly(), "\\PC*", "[a-c:/@.\\[\\]-]{0,12}"]) {
            if let Ok(reference) = text.parse::<Reference>() {
                let again: Reference = reference.to_string().parse().unwrap();
                prop_assert_eq!(&again, &reference);
                prop_assert_eq!(again.to_string(), reference.to_string());
            }
            if let Ok(repository) = Reference::repository_only(&text) {
                let again = Reference::repository_only(&repository.to_string());
                prop_assert_eq!(again.unwrap(), repository);
            }
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in any::<String>()) {
            _ = text.parse::<Reference>().is_ok();
        }
    }
}
