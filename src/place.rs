//! Where content is, as people write it: a registry, the local store, an image layout on disk, or an archive.

use std::fmt;
use std::path::PathBuf;

use crate::archive::Form;
use crate::content::Name;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::reference::Reference;

/// A place that was named, not yet opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An image of a registry.
    Registry(Reference),
    /// An image in the local store.
    Store(Reference),
    /// An image in the store or, where it has none of that name, of a registry.
    Either(Reference),
    /// An image of the store by its id, unless the store has one of that name.
    Id {
        /// The beginning of a digest of it.
        id: ImageId,
        /// What was typed, read as a name.
        name: Option<Reference>,
    },
    /// An image layout on disk.
    Layout {
        /// Its directory.
        path: PathBuf,
        /// The entry in it: [`Name::Ref`], [`Name::Digest`], or [`Name::Sole`] where none was named.
        name: Name,
    },
    /// A tar of a layout, or what `docker save` writes.
    Archive {
        /// Which of them.
        form: Form,
        /// The file.
        path: PathBuf,
        /// The image in it, as in a layout.
        name: Name,
    },
}

/// What a reference without a prefix means to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainMeans {
    /// The registry.
    Registry,
    /// The local store.
    Store,
    /// The store, else the registry.
    Either,
}

impl Place {
    /// Reads a place; a prefix wins over what `plain` says, and over a repository of that name.
    ///
    /// # Errors
    /// [`ErrorKind::Reference`]; nothing is opened or asked.
    pub fn parse(text: &str, plain: PlainMeans) -> Result<Self> {
        if let Some(reference) = text.strip_prefix("docker://") {
            return reference.parse().map(Self::Registry);
        }
        match text.split_once(':') {
            Some(("store", text)) => by_id(text).map_or_else(|| text.parse().map(Self::Store), Ok),
            Some(("oci", rest)) => within(rest, "layout")
                .map(|(path, name)| Self::Layout { path, name })
                .map_err(|why| refuse(text, &why)),
            Some(("oci-archive", rest)) => archive(text, Form::Oci, rest),
            Some(("docker-archive", rest)) => archive(text, Form::Docker, rest),
            _ => {
                let id = if plain == PlainMeans::Registry { None } else { by_id(text) };
                if let Some(place) = id {
                    return Ok(place);
                }
                let reference = text.parse()?;
                Ok(match plain {
                    PlainMeans::Registry => Self::Registry(reference),
                    PlainMeans::Store => Self::Store(reference),
                    PlainMeans::Either => Self::Either(reference),
                })
            }
        }
    }
}

impl Place {
    /// The image of a registry, where it is one for sure.
    pub fn at_registry(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference) => Some(reference),
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) | Self::Either(reference) => write!(f, "{reference}"),
            Self::Store(reference) => write!(f, "store:{reference}"),
            Self::Id { id, .. } => write!(f, "store:{id}"),
            Self::Layout { path, name } => write!(f, "oci:{}{}", path.display(), Suffix(name)),
            Self::Archive { form, path, name } => {
                write!(f, "{form}:{}{}", path.display(), Suffix(name))
            }
        }
    }
}

/// A name as it stands behind a path.
struct Suffix<'a>(&'a Name);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Name::Sole => Ok(()),
            Name::Digest(digest) => write!(f, "@{digest}"),
            Name::Ref(text) | Name::Tag(text) => write!(f, ":{text}"),
        }
    }
}

fn by_id(text: &str) -> Option<Place> {
    ImageId::parse(text).map(|id| Place::Id { id, name: text.parse().ok() })
}

fn refuse(text: &str, why: &str) -> Error {
    Error::new(ErrorKind::Reference, format!("place '{text}'")).because(why)
}

fn archive(text: &str, form: Form, rest: &str) -> Result<Place> {
    let (path, name) = within(rest, "archive").map_err(|why| refuse(text, &why))?;
    Ok(Place::Archive { form, path, name })
}

/// `PATH`, `PATH:NAME`, `PATH@DIGEST`, `PATH:@DIGEST` or `PATH:DIGEST`.
fn within(text: &str, what: &str) -> Result<(PathBuf, Name), String> {
    if text.starts_with("//") && !text.starts_with("///") {
        // oras and helm write registries so.
        return Err(format!("this is no path; for a registry write docker:{text}"));
    }
    let (path, name) = match text.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (text, None),
    };
    let (path, name) = match (path.rsplit_once('@'), name) {
        (Some((path, algorithm @ ("sha256" | "sha384" | "sha512"))), Some(encoded)) => {
            (path, Name::Digest(digest(&format!("{algorithm}:{encoded}"))?))
        }
        (_, None) => (path, Name::Sole),
        (_, Some("")) => return Err("the name after the colon is missing".to_owned()),
        (_, Some(name)) => match name.strip_prefix('@') {
            Some(encoded) => (path, Name::Digest(digest(encoded)?)),
            // A name such as `d:1` is only almost one.
            None => match name.parse::<Digest>() {
                Ok(digest) if digest.algorithm().is_ok() => (path, Name::Digest(digest)),
                _ => (path, Name::Ref(name.to_owned())),
            },
        },
    };
    if path.is_empty() {
        return Err(format!("the path of the {what} is missing"));
    }
    Ok((path.into(), name))
}

fn digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: Error| format!("digest `{text}`: {}", error.why()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn read(text: &str) -> Place {
        Place::parse(text, PlainMeans::Either).unwrap()
    }

    #[test]
    fn prefixes_win_in_every_command() {
        let reference = |text: &str| text.parse::<Reference>().unwrap();
        for plain in [PlainMeans::Registry, PlainMeans::Store, PlainMeans::Either] {
            let read = |text| Place::parse(text, plain).unwrap();
            assert_eq!(read("docker://a:1"), Place::Registry(reference("a:1")));
            assert_eq!(read("store:a:1"), Place::Store(reference("a:1")));
            assert_eq!(read("store:1.0"), Place::Store(reference("1.0")));
            assert!(matches!(read("oci:a"), Place::Layout { .. }));
            assert!(matches!(read("oci-archive:a"), Place::Archive { form: Form::Oci, .. }));
            assert!(matches!(read("docker-archive:a"), Place::Archive { form: Form::Docker, .. }));
        }
        assert_eq!(
            Place::parse("a", PlainMeans::Registry).unwrap(),
            Place::Registry(reference("a"))
        );
        assert_eq!(Place::parse("a", PlainMeans::Store).unwrap(), Place::Store(reference("a")));
        assert_eq!(read("a"), Place::Either(reference("a")));
        // Without the colon it is a repository, as is one below a registry.
        assert_eq!(read("store"), Place::Either(reference("store")));
        assert_eq!(read("reg/oci:1"), Place::Either(reference("reg/oci:1")));
    }

    #[test]
    fn layouts_and_archives_are_split_at_the_first_colon() {
        let pinned = || Name::Digest(DIGEST.parse().unwrap());
        let named = |name: &str| Name::Ref(name.into());
        for (text, path, name) in [
            ("oci:dir", "dir", Name::Sole),
            ("oci:/tmp/a b", "/tmp/a b", Name::Sole),
            ("oci:///tmp/a", "///tmp/a", Name::Sole),
            ("oci:./dir:1.2", "./dir", named("1.2")),
            ("oci:dir:d:1", "dir", named("d:1")),
            ("oci:dir:localhost:5000/app:1", "dir", named("localhost:5000/app:1")),
            ("oci:user@host", "user@host", Name::Sole),
            ("oci:user@host:1", "user@host", named("1")),
            (&format!("oci:dir@{DIGEST}"), "dir", pinned()),
            (&format!("oci:a@b@{DIGEST}"), "a@b", pinned()),
            (&format!("oci:dir:@{DIGEST}"), "dir", pinned()),
            (&format!("oci:dir:{DIGEST}"), "dir", pinned()),
            (&format!("oci:dir:r/app@{DIGEST}"), "dir", named(&format!("r/app@{DIGEST}"))),
            ("oci:dir@sha256/:1", "dir@sha256/", named("1")),
        ] {
            let layout = Place::Layout { path: path.into(), name: name.clone() };
            assert_eq!(read(text), layout, "{text}");
            let text = text.replacen("oci", "docker-archive", 1);
            let archive = Place::Archive { form: Form::Docker, path: path.into(), name };
            assert_eq!(read(&text), archive, "{text}");
            assert_eq!(read(&archive.to_string()), archive, "{text}");
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, why) in [
            ("", "empty"),
            ("oci:", "path of the layout is missing"),
            ("oci::name", "path of the layout is missing"),
            ("oci:dir:", "name after the colon is missing"),
            ("oci:dir@sha256:abc", "needs 64 hex digits"),
            ("oci:dir:@0", "expected algorithm:hex"),
            ("oci://ghcr.io/org/app", "write docker://ghcr.io/org/app"),
            ("oci-archive:", "path of the archive is missing"),
            ("docker-archive:a.tar:", "name after the colon is missing"),
            ("store:", "empty"),
            ("store:A", "lowercase"),
            ("docker://", "empty"),
            ("docker://docker://a", "leave `docker://` out"),
        ] {
            let refusal = Place::parse(text, PlainMeans::Either).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::Reference);
            assert!(refusal.to_string().contains(why), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(oci|store|docker|oci-archive)?(:|://)?\\PC{0,40}") {
            for plain in [PlainMeans::Registry, PlainMeans::Store, PlainMeans::Either] {
                if let Err(error) = Place::parse(&text, plain) {
                    prop_assert_eq!(error.kind(), ErrorKind::Reference);
                }
            }
        }
    }
}
