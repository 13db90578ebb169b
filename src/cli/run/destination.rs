//! Destinations of images: a registry, the store, another layout, or an archive.

use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::ArchiveOutput;
use crate::cli::hint;
use crate::cli::image::open::OpenedLocation;
use crate::cli::run::new_archive::NewArchive;
use crate::cli::run::new_layout::{NewLayout, open_to_write};
use crate::cli::settings::{ForeignLayers, Settings, existing_layout, platform};
use crate::cli::signals::opened_unless_cancelled;
use crate::content::{EmptyTarget, Target};
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::LayoutOptions;
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::registry::{Client, RegistryOptions};
use crate::transfer::{ArtifactOptions, PlatformSelection};

/// Whether the store records upload sessions, so that a later run can resume them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum UploadSessions {
    Record,
    Discard,
}

/// Where the images go.
pub(in crate::cli) enum Destination {
    Registry {
        reference: Reference,
        chunk_size: Option<u64>,
        sessions: UploadSessions,
    },
    /// With this name, or each image with its own.
    Store(Option<Reference>),
    Layout {
        path: PathBuf,
        name: ImageName,
    },
    /// With this name, or each image with its own.
    Archive(NewArchive, ImageName),
}

impl Destination {
    /// Parses a location. Without a prefix it is in a registry.
    pub(in crate::cli) fn parse(text: &str, chunk_size: Option<u64>) -> Result<Self> {
        Self::parse_as(text, DefaultLocation::Registry, chunk_size)
    }

    /// Parses the name of a new image. Without a prefix it is in the store.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an archive without a name: `docker load` would give the new image the name of the
    /// original.
    pub(in crate::cli) fn parse_new(text: &str) -> Result<Self> {
        let destination = Self::parse_as(text, DefaultLocation::Store, None)?;
        if matches!(destination, Self::Archive(_, ImageName::Only)) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("location `{text}`"))
                .with_reason("missing name of the new image")
                .with_hint(destination.name_hint()));
        }
        Ok(destination)
    }

    fn parse_as(text: &str, plain: DefaultLocation, chunk_size: Option<u64>) -> Result<Self> {
        let location = Location::parse(text, plain)?;
        location.check_as_target()?;
        match location {
            Location::Registry(reference) | Location::StoreOrRegistry(reference) => {
                Ok(Self::Registry { reference, chunk_size, sessions: UploadSessions::Discard })
            }
            // An id cannot name a new image, so a text that may be either is a name.
            Location::Store(reference) | Location::Id { name: Some(reference), .. } => {
                Ok(Self::Store(Some(reference)))
            }
            // Refused above: an id cannot name a new image, and engines are only read from.
            Location::Id { name: None, .. } | Location::Engine { .. } => Ok(Self::Store(None)),
            Location::Layout { path, name } => Ok(Self::Layout { path, name }),
            Location::Archive { format, path, name } => {
                Ok(Self::Archive(NewArchive::new(format, ArchiveOutput::File(path))?, name))
            }
        }
    }

    /// Records upload sessions in the store, if there is one: a copy does not without need, since it has to wait for the
    /// store's lock then.
    pub(in crate::cli) fn record_sessions(&mut self) {
        if let Self::Registry { sessions, .. } = self {
            *sessions = UploadSessions::Record;
        }
    }

    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a later run cannot continue what this one leaves.
    pub(in crate::cli) fn check_continuable(&self) -> Result<()> {
        match self {
            Self::Archive(..) => Err(Error::new(ErrorKind::InvalidInput, "`--max-bytes`")
                .with_reason("an archive cannot be continued by a later run")
                .with_hint("pull or copy into the store first")),
            _ => Ok(()),
        }
    }

    /// A destination of `push`.
    pub(in crate::cli) fn for_push(reference: Reference, chunk_size: Option<u64>) -> Result<Self> {
        Location::Registry(reference.clone()).check_as_target()?;
        Ok(Self::Registry { reference, chunk_size, sessions: UploadSessions::Record })
    }

    /// Parses `--output` of a pull, which must be a local location.
    pub(in crate::cli) fn for_pull(typed: Option<&str>) -> Result<Self> {
        let Some(text) = typed else { return Ok(Self::Store(None)) };
        match Self::parse(text, None)? {
            local @ (Self::Layout { .. } | Self::Archive { .. }) => Ok(local),
            _ => Err(Error::new(ErrorKind::InvalidInput, format!("output `{text}`"))
                .with_reason("expected oci:PATH[:NAME], oci-archive:FILE or docker-archive:FILE")),
        }
    }

    /// # Errors
    /// [`ErrorKind::InvalidInput`] if all images would get the same name.
    pub(in crate::cli) fn check_name_for_several(&self) -> Result<()> {
        match self {
            Self::Layout { name: ImageName::Layout(name), .. }
            | Self::Archive(_, ImageName::Layout(name)) => {
                Err(Error::new(ErrorKind::InvalidInput, format!("output name `{name}`"))
                    .with_reason("cannot give several images the same name")
                    .with_hint("omit the name to keep each image's own"))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the destination cannot contain referrers and digest tags.
    pub(in crate::cli) fn check_artifacts(&self, artifacts: ArtifactOptions) -> Result<()> {
        match self {
            Self::Archive(archive, _)
                if archive.holds_one_platform() && artifacts != ArtifactOptions::default() =>
            {
                Err(Error::new(ErrorKind::InvalidInput, "referrers and digest tags")
                    .with_reason("a docker-archive can hold only images")
                    .with_hint("use an `oci-archive:FILE`"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the platforms to transfer: the `named` ones, else `usual`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if several are named and the destination can contain only one.
    pub(in crate::cli) fn platforms(
        &self,
        named: Option<PlatformSelection>,
        usual: PlatformSelection,
    ) -> Result<PlatformSelection> {
        let one = matches!(self, Self::Archive(archive, _) if archive.holds_one_platform());
        match named {
            named if !one => Ok(named.unwrap_or(usual)),
            None => Ok(PlatformSelection::Single(platform(None)?)),
            Some(named @ PlatformSelection::Single(_)) => Ok(named),
            Some(_) => Err(Error::new(ErrorKind::InvalidInput, "platforms")
                .with_reason("a docker-archive can hold only one")
                .with_hint("select one with `--platform`, or use an `oci-archive:FILE`")),
        }
    }

    /// The hint for an interrupted run. An archive appears only once it is complete, so that nothing is kept.
    pub(in crate::cli) fn repeat_hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(_) | Self::Layout { .. } => Some(hint::RESUMABLE),
            Self::Registry { .. } => Some(hint::REPEATABLE),
            Self::Archive(..) => None,
        }
    }

    /// Whether the images are written to stdout.
    pub(in crate::cli) fn is_stdout(&self) -> bool {
        matches!(self, Self::Archive(archive, _) if archive.is_stdout())
    }

    /// Opens the destination for this number of images. A missing store or file is created; a missing layout is when
    /// something is written to it.
    pub(in crate::cli) async fn open(
        &self,
        settings: &Settings,
        images: usize,
        sync: bool,
    ) -> Result<Arc<dyn Target>> {
        let path = match self {
            Self::Registry { reference, chunk_size, sessions } => {
                return Self::registry(reference, *chunk_size, *sessions, settings);
            }
            Self::Store(_) => settings.store()?,
            Self::Layout { path, .. } => path.clone(),
            Self::Archive(archive, _) => return archive.open(images, sync, &settings.control),
        };
        let private = matches!(self, Self::Store(_));
        let options = LayoutOptions { private, sync, ..LayoutOptions::default() };
        if !private && !path.exists() {
            return Ok(Arc::new(NewLayout::new(path, options, settings.control.clone())));
        }
        Ok(Arc::new(open_to_write(path, options, &settings.control).await?))
    }

    /// Opens the destination without changing anything; a missing one is treated as empty.
    pub(in crate::cli) async fn open_for_plan(
        &self,
        settings: &Settings,
    ) -> Result<Arc<dyn Target>> {
        let path = match self {
            Self::Registry { reference, chunk_size, sessions } => {
                return Self::registry(reference, *chunk_size, *sessions, settings);
            }
            Self::Store(_) => settings.store()?,
            Self::Layout { path, .. } => path.clone(),
            Self::Archive(archive, _) => return archive.open_for_plan(),
        };
        let location = format!("oci:{}", path.display());
        let open = move |control: &Control| existing_layout(&path, control);
        match opened_unless_cancelled(&settings.control, "plan", open).await? {
            Some(layout) => Ok(layout),
            None => Ok(Arc::new(EmptyTarget::new(location))),
        }
    }

    /// Returns the name that an image with this full name gets at the destination.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if neither side names it.
    pub(in crate::cli) fn name(&self, full: &str) -> Result<ImageName> {
        match self {
            Self::Registry { reference, .. } => Ok(reference.name()),
            Self::Store(Some(reference)) => Ok(ImageName::Layout(reference.store_name())),
            Self::Layout { name: name @ ImageName::Layout(_), .. }
            | Self::Archive(_, name @ ImageName::Layout(_)) => Ok(name.clone()),
            _ if full.is_empty() => Err(Error::new(ErrorKind::InvalidInput, "name")
                .with_reason("the image has no name")
                .with_hint(self.name_hint())),
            _ => Ok(ImageName::Layout(full.to_owned())),
        }
    }

    fn name_hint(&self) -> String {
        format!("name it in the destination: `{}:NAME`", self.place())
    }

    /// The location as users write it, without the name of an image.
    fn place(&self) -> String {
        match self {
            Self::Registry { reference, .. } => format!("docker://{}", reference.without_name()),
            Self::Store(_) => "store".to_owned(),
            Self::Layout { path, .. } => format!("oci:{}", path.display()),
            Self::Archive(archive, _) => archive.place(),
        }
    }

    fn registry(
        reference: &Reference,
        chunk_size: Option<u64>,
        sessions: UploadSessions,
        settings: &Settings,
    ) -> Result<Arc<dyn Target>> {
        let options = settings.registry_options(&reference.to_string(), ForeignLayers::Ignore)?;
        let repository = Client::new(RegistryOptions { chunk_size, ..options })
            .repository_for_push(reference)?;
        // A copy does not use the store and must not wait for its lock.
        let store = match sessions {
            UploadSessions::Record => settings.existing_store().ok().flatten(),
            UploadSessions::Discard => None,
        };
        Ok(Arc::new(match store {
            Some(store) => repository.with_upload_store(store),
            None => repository,
        }))
    }

    /// Returns the name of one of several tags: the same tag if the destination is a repository, else the image's own
    /// name.
    pub(in crate::cli) fn name_of_tag(
        &self,
        image: &Reference,
        tag: &str,
    ) -> Result<(String, ImageName)> {
        match self {
            Self::Registry { reference, .. } => {
                let tagged = reference.with_tag(tag)?;
                Ok((tagged.to_string(), tagged.name()))
            }
            Self::Store(Some(reference)) => {
                let tagged = reference.with_tag(tag)?;
                Ok((tagged.to_string(), ImageName::Layout(tagged.store_name())))
            }
            _ => Ok((image.to_string(), self.name(&image.store_name())?)),
        }
    }

    /// Whether the user named only the layout or archive, and not the image in it.
    pub(in crate::cli) fn is_unnamed(&self) -> bool {
        matches!(
            self,
            Self::Layout { name: ImageName::Only, .. } | Self::Archive(_, ImageName::Only)
        )
    }

    /// Returns the directory that blobs are written to, if there is one.
    pub(in crate::cli) fn directory(&self, settings: &Settings) -> Option<PathBuf> {
        match self {
            Self::Store(_) => settings.store().ok(),
            Self::Layout { path, .. } => Some(path.clone()),
            Self::Registry { .. } | Self::Archive(..) => None,
        }
    }

    /// Returns the reference of a registry destination.
    pub(in crate::cli) fn image(&self) -> Option<&Reference> {
        match self {
            Self::Registry { reference, .. } => Some(reference),
            Self::Store(_) | Self::Layout { .. } | Self::Archive(..) => None,
        }
    }

    /// Whether images that are written here replace this one.
    pub(in crate::cli) fn is(&self, opened: &OpenedLocation) -> bool {
        match self {
            Self::Registry { reference, .. } => {
                opened.layout.is_none() && opened.reference == reference.to_string()
            }
            Self::Store(Some(reference)) => {
                opened.layout.is_some() && opened.reference == reference.to_string()
            }
            Self::Layout { path, name } => {
                let own = Location::Layout { path: path.clone(), name: name.clone() };
                opened.layout.is_some() && opened.reference == own.to_string()
            }
            Self::Store(None) | Self::Archive(..) => false,
        }
    }

    /// Returns the full name to print, if the destination sets it.
    pub(in crate::cli) fn reference(&self) -> Option<String> {
        match self {
            Self::Registry { reference, .. } | Self::Store(Some(reference)) => {
                Some(reference.to_string())
            }
            Self::Store(None) | Self::Layout { .. } | Self::Archive(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupted_push_has_no_hint_to_resume() {
        let hint = |text: &str| Destination::parse(text, None).unwrap().repeat_hint();
        for local in ["store:app:1", "oci:l:app"] {
            assert_eq!(hint(local), Some(hint::RESUMABLE), "{local}");
        }
        assert_eq!(hint("r.example/app:1"), Some(hint::REPEATABLE));
        assert_eq!(hint("oci-archive:a.tar:app"), None);
    }
}
