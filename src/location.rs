//! Locations of content as users write them: a registry, the local store, an image layout, or an archive.

use std::fmt;
use std::path::PathBuf;

use crate::archive::ArchiveFormat;
use crate::digest::{Digest, DigestError, registered_algorithm};
pub(crate) use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::local_path;
use crate::name::ImageName;
use crate::other_tools;
use crate::reference::Reference;

/// A parsed location, not yet opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// An image in a registry.
    Registry(Reference),
    /// An image in the local store.
    Store(Reference),
    /// An image in the store or, if it is not there, in a registry.
    StoreOrRegistry(Reference),
    /// An image in the store by id, unless the store has an image with that name.
    Id {
        /// The beginning of a digest.
        id: ImageId,
        /// The same text as a name.
        name: Option<Reference>,
    },
    /// An image layout on disk.
    Layout {
        /// Path of the directory.
        path: PathBuf,
        /// The entry: [`ImageName::Layout`], [`ImageName::Digest`], or [`ImageName::Only`] if none is named.
        name: ImageName,
    },
    /// A tar of a layout, or what `docker save` writes.
    Archive {
        /// The archive's format.
        format: ArchiveFormat,
        /// Path of the file.
        path: PathBuf,
        /// The image, as in a layout.
        name: ImageName,
    },
    /// The store of a container engine; only to read from.
    Engine {
        /// The engine.
        engine: Engine,
        /// Path of its directory.
        path: PathBuf,
        /// The image by name or id, as in a layout.
        name: ImageName,
    },
}

/// The meaning of a reference without a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultLocation {
    /// The registry.
    Registry,
    /// The local store.
    Store,
    /// The local store, else the registry.
    #[cfg_attr(
        not(feature = "cli"),
        expect(dead_code, reason = "only the command line looks at both")
    )]
    StoreOrRegistry,
}

impl Location {
    /// Parses a location. A prefix takes precedence over `plain`, and over a repository with that name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]; nothing is opened or asked.
    pub(crate) fn parse(text: &str, plain: DefaultLocation) -> Result<Self> {
        if let Some(reference) = text.strip_prefix("docker://") {
            return reference.parse().map(Self::Registry);
        }
        other_tools::check(text)?;
        match text.split_once(':') {
            Some(("store", text)) => by_id(text).map_or_else(|| text.parse().map(Self::Store), Ok),
            Some(("oci", rest)) => split_path_and_name(text, rest, "layout")
                .map(|(path, name)| Self::Layout { path, name }),
            Some(("oci-archive", rest)) => archive(text, ArchiveFormat::Oci, rest),
            Some(("docker-archive", rest)) => archive(text, ArchiveFormat::Docker, rest),
            Some(("docker-daemon", rest)) => daemon(text, rest),
            Some(("containerd-root", rest)) => engine(text, Engine::ContainerdRoot, rest),
            Some(("docker-root", rest)) => engine(text, Engine::DockerRoot, rest),
            _ => {
                let id = if plain == DefaultLocation::Registry { None } else { by_id(text) };
                if let Some(place) = id {
                    return Ok(place);
                }
                let reference = local_path::parse_name(text)?;
                Ok(match plain {
                    DefaultLocation::Registry => Self::Registry(reference),
                    DefaultLocation::Store => Self::Store(reference),
                    DefaultLocation::StoreOrRegistry => Self::StoreOrRegistry(reference),
                })
            }
        }
    }

    /// Returns the reference if the location is certainly in a registry.
    #[cfg(feature = "cli")]
    pub(crate) fn registry(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference) => Some(reference),
            _ => None,
        }
    }

    /// Whether it is a layout or archive without the name of an image.
    #[cfg(feature = "cli")]
    pub(crate) fn is_unnamed(&self) -> bool {
        let (Self::Layout { name, .. } | Self::Archive { name, .. }) = self else { return false };
        *name == ImageName::Only
    }

    /// Rejects a name with a digest, which new content may not match.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with the digest.
    pub(crate) fn check_as_target(&self) -> Result<()> {
        match self {
            Self::Registry(reference) | Self::StoreOrRegistry(reference) => {
                match (reference.tag(), reference.digest()) {
                    (Some(_), Some(digest)) => Err(fixed_by(digest.as_str())),
                    _ => Ok(()),
                }
            }
            Self::Store(reference) => {
                reference.digest().map_or(Ok(()), |digest| Err(fixed_by(digest.as_str())))
            }
            Self::Id { name: Some(_), .. } => Ok(()),
            Self::Id { id, name: None } => Err(fixed_by(&id.to_string())),
            Self::Layout { name, .. } | Self::Archive { name, .. } => {
                let text = name.to_string();
                match (name, text.rsplit_once('@')) {
                    (ImageName::Digest(_), _) => Err(fixed_by(&text)),
                    (_, Some((_, end))) if end.parse::<Digest>().is_ok() => Err(fixed_by(end)),
                    _ => Ok(()),
                }
            }
            Self::Engine { engine, .. } => Err(engine.read_only(&self.to_string())),
        }
    }
}

fn fixed_by(digest: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("name `{digest}`"))
        .with_reason("a destination cannot contain a digest")
        .with_hint("use a tag, or no tag")
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) | Self::StoreOrRegistry(reference) => {
                write!(f, "{reference}")
            }
            Self::Store(reference) => write!(f, "store:{reference}"),
            Self::Id { id, .. } => write!(f, "store:{id}"),
            Self::Layout { path, name } => write!(f, "oci:{}{}", path.display(), NameSuffix(name)),
            Self::Archive { format, path, name } => {
                write!(f, "{format}:{}{}", path.display(), NameSuffix(name))
            }
            Self::Engine { engine: engine @ Engine::DockerDaemon, name, .. } => {
                write!(f, "{engine}:{name}")
            }
            Self::Engine { engine, path, name } => {
                write!(f, "{engine}:{}{}", path.display(), NameSuffix(name))
            }
        }
    }
}

/// Formats the name after a path.
struct NameSuffix<'a>(&'a ImageName);

impl fmt::Display for NameSuffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ImageName::Only => Ok(()),
            ImageName::Digest(digest) => write!(f, "@{digest}"),
            ImageName::Layout(text) | ImageName::Tag(text) => write!(f, ":{text}"),
        }
    }
}

fn by_id(text: &str) -> Option<Location> {
    ImageId::parse(text).map(|id| Location::Id { id, name: text.parse().ok() })
}

fn invalid_location(text: &str, reason: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("location `{text}`")).with_reason(reason)
}

fn archive(text: &str, format: ArchiveFormat, rest: &str) -> Result<Location> {
    let (path, name) = split_path_and_name(text, rest, "archive")?;
    Ok(Location::Archive { format, path, name })
}

fn engine(text: &str, engine: Engine, rest: &str) -> Result<Location> {
    let (path, name) = split_path_and_name(text, rest, "engine's store")?;
    Ok(Location::Engine { engine, path, name })
}

/// Parses the name or id of an image of a daemon.
fn daemon(location: &str, text: &str) -> Result<Location> {
    if text.is_empty() {
        return Err(invalid_location(location, "missing name of the image"));
    }
    let name = match text.parse::<Digest>() {
        Ok(digest) if digest.algorithm().is_ok() => ImageName::Digest(digest),
        _ => {
            if ImageId::parse(text).is_none() {
                text.parse::<Reference>()?;
            }
            ImageName::Layout(text.to_owned())
        }
    };
    Ok(Location::Engine { engine: Engine::DockerDaemon, path: PathBuf::new(), name })
}

/// Splits `PATH`, `PATH:NAME`, `PATH@DIGEST`, `PATH:@DIGEST` or `PATH:DIGEST`.
fn split_path_and_name(location: &str, text: &str, what: &str) -> Result<(PathBuf, ImageName)> {
    let invalid = |reason: &str| invalid_location(location, reason);
    if text.starts_with("//") && !text.starts_with("///") {
        // oras and helm use this prefix for registries.
        return Err(
            invalid("expected a path").with_hint(format!("write `docker:{text}` for a registry"))
        );
    }
    let (path, name) = match text.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (text, None),
    };
    let (path, name) = match (path.rsplit_once('@'), name) {
        (Some((path, algorithm)), Some(encoded)) if registered_algorithm(algorithm).is_some() => {
            (path, ImageName::Digest(digest(location, &format!("{algorithm}:{encoded}"))?))
        }
        (_, None) => (path, ImageName::Only),
        (_, Some("")) => return Err(invalid("missing name after the colon")),
        (_, Some(name)) => match name.strip_prefix('@') {
            Some(encoded) => (path, ImageName::Digest(digest(location, encoded)?)),
            // A text such as `d:1` looks like a digest and may be a name.
            None => match name.parse::<Digest>() {
                Ok(digest) if digest.algorithm().is_ok() => (path, ImageName::Digest(digest)),
                _ => (path, ImageName::Layout(name.to_owned())),
            },
        },
    };
    if path.is_empty() {
        return Err(invalid(&format!("missing path of the {what}")));
    }
    Ok((path.into(), name))
}

fn digest(location: &str, text: &str) -> Result<Digest> {
    text.parse().map_err(|error: DigestError| {
        invalid_location(location, &format!("digest `{text}`: {}", error.reason()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn read(text: &str) -> Location {
        Location::parse(text, DefaultLocation::StoreOrRegistry).unwrap()
    }

    #[test]
    fn prefix_decides_kind_in_every_context() {
        let reference = |text: &str| text.parse::<Reference>().unwrap();
        for plain in
            [DefaultLocation::Registry, DefaultLocation::Store, DefaultLocation::StoreOrRegistry]
        {
            let read = |text| Location::parse(text, plain).unwrap();
            assert_eq!(read("docker://a:1"), Location::Registry(reference("a:1")));
            assert_eq!(read("store:a:1"), Location::Store(reference("a:1")));
            assert_eq!(read("store:1.0"), Location::Store(reference("1.0")));
            assert!(matches!(read("oci:a"), Location::Layout { .. }));
            assert!(matches!(
                read("oci-archive:a"),
                Location::Archive { format: ArchiveFormat::Oci, .. }
            ));
            assert!(matches!(
                read("docker-archive:a"),
                Location::Archive { format: ArchiveFormat::Docker, .. }
            ));
        }
        assert_eq!(
            Location::parse("a", DefaultLocation::Registry).unwrap(),
            Location::Registry(reference("a"))
        );
        assert_eq!(
            Location::parse("a", DefaultLocation::Store).unwrap(),
            Location::Store(reference("a"))
        );
        assert_eq!(read("a"), Location::StoreOrRegistry(reference("a")));
        // Without the colon it is a repository, also below a registry.
        assert_eq!(read("store"), Location::StoreOrRegistry(reference("store")));
        assert_eq!(read("reg/oci:1"), Location::StoreOrRegistry(reference("reg/oci:1")));
    }

    #[test]
    fn layout_and_archive_split_at_first_colon() {
        let pinned = || ImageName::Digest(DIGEST.parse().unwrap());
        let named = |name: &str| ImageName::Layout(name.into());
        for (text, path, name) in [
            ("oci:dir", "dir", ImageName::Only),
            ("oci:/tmp/a b", "/tmp/a b", ImageName::Only),
            ("oci:///tmp/a", "///tmp/a", ImageName::Only),
            ("oci:./dir:1.2", "./dir", named("1.2")),
            ("oci:dir:d:1", "dir", named("d:1")),
            ("oci:dir:localhost:5000/app:1", "dir", named("localhost:5000/app:1")),
            ("oci:user@host", "user@host", ImageName::Only),
            ("oci:user@host:1", "user@host", named("1")),
            (&format!("oci:dir@{DIGEST}"), "dir", pinned()),
            (&format!("oci:a@b@{DIGEST}"), "a@b", pinned()),
            (&format!("oci:dir:@{DIGEST}"), "dir", pinned()),
            (&format!("oci:dir:{DIGEST}"), "dir", pinned()),
            (&format!("oci:dir:r/app@{DIGEST}"), "dir", named(&format!("r/app@{DIGEST}"))),
            ("oci:dir@sha256/:1", "dir@sha256/", named("1")),
        ] {
            let layout = Location::Layout { path: path.into(), name: name.clone() };
            assert_eq!(read(text), layout, "{text}");
            let text = text.replacen("oci", "docker-archive", 1);
            let archive =
                Location::Archive { format: ArchiveFormat::Docker, path: path.into(), name };
            assert_eq!(read(&text), archive, "{text}");
            assert_eq!(read(&archive.to_string()), archive, "{text}");
        }
    }

    #[test]
    fn engine_location_round_trips() {
        let named = || ImageName::Layout("app:1".into());
        let path = PathBuf::from("/srv/d");
        for (text, engine, path, name) in [
            ("docker-root:/srv/d", Engine::DockerRoot, path.clone(), ImageName::Only),
            ("docker-root:/srv/d:app:1", Engine::DockerRoot, path.clone(), named()),
            ("containerd-root:/srv/d:app:1", Engine::ContainerdRoot, path, named()),
            ("docker-daemon:app:1", Engine::DockerDaemon, PathBuf::new(), named()),
        ] {
            let location = Location::Engine { engine, path, name };
            assert_eq!(read(text), location, "{text}");
            assert_eq!(location.to_string(), text);
            assert_eq!(location.check_as_target().unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn invalid_location_error_suggests_form() {
        for (text, reason) in [
            ("", "empty"),
            ("oci:", "missing path of the layout"),
            ("oci::name", "missing path of the layout"),
            ("oci:dir:", "missing name after the colon"),
            ("oci:dir@sha256:abc", "requires 64 hex digits"),
            ("oci:dir:@0", "expected algorithm:hex"),
            ("oci://ghcr.io/org/app", "hint: write `docker://ghcr.io/org/app` for a registry"),
            ("oci-archive:", "missing path of the archive"),
            ("docker-archive:a.tar:", "missing name after the colon"),
            ("dir:out", "`dir:` is a location of other tools"),
            ("containers-storage:app:1", "hint: rpull reads and writes oci:DIR"),
            ("ocidir://layout:1", "hint: write `oci:layout:1` for a layout"),
            ("store:", "empty"),
            ("store:A", "lowercase"),
            ("docker://", "empty"),
            ("docker://docker://a", "hint: write `a`"),
        ] {
            let refusal = Location::parse(text, DefaultLocation::StoreOrRegistry).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::InvalidInput);
            let shown = format!("{refusal}\nhint: {}", refusal.hint().unwrap_or_default());
            assert!(shown.contains(reason), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "(oci|store|docker|oci-archive)?(:|://)?\\PC{0,40}") {
            for plain in [DefaultLocation::Registry, DefaultLocation::Store, DefaultLocation::StoreOrRegistry] {
                if let Err(error) = Location::parse(&text, plain) {
                    prop_assert_eq!(error.kind(), ErrorKind::InvalidInput);
                }
            }
        }
    }
}
