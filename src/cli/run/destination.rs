//! Where images go: a registry, the store, another layout, or an archive.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::archive::ArchiveOutput;
use crate::cli::meter::ByteMeter;
use crate::cli::run::new_archive::NewArchive;
use crate::cli::settings::{ProgressMode, Settings, existing_layout, platform};
use crate::cli::signals::opened_unless_cancelled;
use crate::content::{EmptyTarget, Target};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, LayoutOptions};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::registry::{Client, RegistryOptions};
use crate::transfer::{ArtifactOptions, PlatformSelection};

/// Where the images go.
pub(in crate::cli) enum Destination {
    Registry {
        reference: Reference,
        chunk_size: Option<u64>,
        /// Whether the store remembers uploads that another run can continue.
        remember: bool,
    },
    /// Under this name, or each under its own.
    Store(Option<Reference>),
    Layout {
        path: PathBuf,
        name: ImageName,
    },
    /// Under this name, or each under its own.
    Archive(NewArchive, ImageName),
}

impl Destination {
    /// A place; one without a prefix is a registry's.
    pub(in crate::cli) fn parse(text: &str, chunk_size: Option<u64>) -> Result<Self> {
        match Location::parse(text, DefaultLocation::Registry)? {
            Location::Registry(reference) | Location::StoreOrRegistry(reference) => {
                Self::at_registry(reference, chunk_size, false)
            }
            Location::Store(reference) => match reference.digest() {
                Some(digest) => Err(decides(digest.as_str())),
                None => Ok(Self::Store(Some(reference))),
            },
            // What is new cannot be named by an id yet, and the text may be a name all the same.
            Location::Id { name: Some(reference), .. } => Ok(Self::Store(Some(reference))),
            Location::Id { id, name: None } => Err(decides(&id.to_string())),
            Location::Layout { path, name } => {
                check_no_digest(&name)?;
                Ok(Self::Layout { path, name })
            }
            Location::Archive { form, path, name } => {
                check_no_digest(&name)?;
                Ok(Self::Archive(NewArchive::new(form, ArchiveOutput::File(path))?, name))
            }
        }
    }

    pub(in crate::cli) fn at_registry(
        reference: Reference,
        chunk_size: Option<u64>,
        remember: bool,
    ) -> Result<Self> {
        match (reference.tag(), reference.digest()) {
            (Some(_), Some(digest)) => Err(decides(digest.as_str())),
            _ => Ok(Self::Registry { reference, chunk_size, remember }),
        }
    }

    /// `-o` of a pull, which keeps images on this machine.
    pub(in crate::cli) fn for_pull(typed: Option<&str>) -> Result<Self> {
        let Some(text) = typed else { return Ok(Self::Store(None)) };
        match Self::parse(text, None)? {
            local @ (Self::Layout { .. } | Self::Archive { .. }) => Ok(local),
            _ => Err(Error::new(ErrorKind::InvalidInput, format!("output `{text}`"))
                .with_reason("expected oci:PATH[:NAME], oci-archive:FILE or docker-archive:FILE")),
        }
    }

    /// One name cannot stand for several images.
    pub(in crate::cli) fn check_name(&self, several: bool) -> Result<()> {
        match self {
            Self::Layout { name: ImageName::Layout(name), .. }
            | Self::Archive(_, ImageName::Layout(name))
                if several =>
            {
                Err(Error::new(ErrorKind::InvalidInput, format!("output name `{name}`"))
                    .with_reason("cannot give several images the same name")
                    .with_hint("omit the name to keep each image's own"))
            }
            _ => Ok(()),
        }
    }

    /// What belongs to an image needs a place of its own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] without one.
    pub(in crate::cli) fn check_artifacts(&self, along: ArtifactOptions) -> Result<()> {
        match self {
            Self::Archive(archive, _)
                if archive.holds_one_platform() && along != ArtifactOptions::default() =>
            {
                Err(Error::new(ErrorKind::InvalidInput, "referrers and digest tags")
                    .with_reason("a docker-archive can hold only images")
                    .with_hint("use an `oci-archive:FILE`"))
            }
            _ => Ok(()),
        }
    }

    /// The platforms of an image that go there: those that were named, else these.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where it takes no more than one.
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

    /// Whether the images themselves go to standard output.
    pub(in crate::cli) fn is_stdout(&self) -> bool {
        matches!(self, Self::Archive(archive, _) if archive.is_stdout())
    }

    /// Opens it for so many images, making it where it can be made and does not exist.
    pub(in crate::cli) async fn open(
        &self,
        settings: &Settings,
        images: usize,
        sync: bool,
        cancel: &CancellationToken,
    ) -> Result<Arc<dyn Target>> {
        let (path, private) = match self {
            Self::Registry { reference, chunk_size, remember } => {
                return Self::registry(reference, *chunk_size, *remember, settings);
            }
            Self::Store(_) => (settings.store()?, true),
            Self::Layout { path, .. } => (path.clone(), false),
            Self::Archive(archive, _) => return archive.write(images, sync),
        };
        let options = LayoutOptions { private, sync, ..LayoutOptions::default() };
        Ok(Arc::new(open_to_write(path, options, settings, cancel).await?))
    }

    /// Opens it for a plan, which must not even make a directory: what does not exist is looked at as if it were empty.
    pub(in crate::cli) async fn open_for_plan(
        &self,
        settings: &Settings,
        cancel: &CancellationToken,
    ) -> Result<Arc<dyn Target>> {
        let path = match self {
            Self::Registry { reference, chunk_size, remember } => {
                return Self::registry(reference, *chunk_size, *remember, settings);
            }
            Self::Store(_) => settings.store()?,
            Self::Layout { path, .. } => path.clone(),
            Self::Archive(archive, _) => return archive.write(0, false),
        };
        let place = format!("oci:{}", path.display());
        match opened_unless_cancelled(cancel, "plan", move || existing_layout(&path)).await? {
            Some(layout) => Ok(layout),
            None => Ok(Arc::new(EmptyTarget::new(place))),
        }
    }

    /// What an image of this full name is called there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where neither end has a name for it.
    pub(in crate::cli) fn name(&self, full: &str) -> Result<ImageName> {
        match self {
            Self::Registry { reference, .. } => Ok(reference.name()),
            Self::Store(Some(reference)) => Ok(ImageName::Layout(reference.store_name())),
            Self::Layout { name: name @ ImageName::Layout(_), .. }
            | Self::Archive(_, name @ ImageName::Layout(_)) => Ok(name.clone()),
            _ if full.is_empty() => Err(Error::new(ErrorKind::InvalidInput, "name")
                .with_reason("the image has no name")
                .with_hint("name it in the destination, e.g. `oci:PATH:NAME`")),
            _ => Ok(ImageName::Layout(full.to_owned())),
        }
    }

    fn registry(
        reference: &Reference,
        chunk_size: Option<u64>,
        remember: bool,
        settings: &Settings,
    ) -> Result<Arc<dyn Target>> {
        let options = settings.registry_options(&reference.to_string(), false)?;
        let repository = Client::new(RegistryOptions { chunk_size, ..options })
            .repository_for_push(reference)?;
        // A copy that needs no store must not wait for its lock.
        let store = if remember { settings.existing_store().ok().flatten() } else { None };
        Ok(Arc::new(match store {
            Some(store) => repository.with_upload_store(store),
            None => repository,
        }))
    }

    /// What one of several images is called there: the tag, where the destination is a repository, else its own name.
    pub(in crate::cli) fn name_of_tag(
        &self,
        image: &Reference,
        tag: &str,
    ) -> Result<(String, ImageName)> {
        match self {
            Self::Registry { reference, .. } => {
                let there = reference.with_tag(tag)?;
                Ok((there.to_string(), there.name()))
            }
            Self::Store(Some(reference)) => {
                let there = reference.with_tag(tag)?;
                Ok((there.to_string(), ImageName::Layout(there.store_name())))
            }
            _ => Ok((image.to_string(), self.name(&image.store_name())?)),
        }
    }

    /// The image of a registry, where it is one.
    pub(in crate::cli) fn image(&self) -> Option<&Reference> {
        match self {
            Self::Registry { reference, .. } => Some(reference),
            Self::Store(_) | Self::Layout { .. } | Self::Archive(..) => None,
        }
    }

    /// The full name for people, where the destination gives one.
    pub(in crate::cli) fn reference(&self) -> Option<String> {
        match self {
            Self::Registry { reference, .. } | Self::Store(Some(reference)) => {
                Some(reference.to_string())
            }
            Self::Store(None) | Self::Layout { .. } | Self::Archive(..) => None,
        }
    }
}

/// The layout at this path, created if missing. Ctrl-C ends waiting for other processes, and the check after a restart.
pub(in crate::cli) async fn open_to_write(
    path: PathBuf,
    options: LayoutOptions,
    settings: &Settings,
    cancel: &CancellationToken,
) -> Result<Layout> {
    let watch = recheck_progress(settings.show, cancel.clone());
    let make = move || Layout::create_with_progress(&path, options, &watch);
    opened_unless_cancelled(cancel, "open", make).await
}

/// Tells how far the check of what a restart left in doubt is, from its first byte on.
fn recheck_progress(show: ProgressMode, cancel: CancellationToken) -> impl Fn(u64, u64) -> bool {
    let meter = OnceLock::new();
    move |done, total| {
        let new = || ByteMeter::new(show, "checking after a restart", total);
        meter.get_or_init(new).set(done);
        !cancel.is_cancelled()
    }
}

/// A name that ends in a digest would be a lie about what comes there.
fn check_no_digest(name: &ImageName) -> Result<()> {
    let text = name.to_string();
    match (name, text.rsplit_once('@')) {
        (ImageName::Digest(_), _) => Err(decides(&text)),
        (_, Some((_, end))) if end.parse::<Digest>().is_ok() => Err(decides(end)),
        _ => Ok(()),
    }
}

fn decides(digest: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("name `{digest}`"))
        .with_reason("a destination cannot contain a digest")
        .with_hint("use a tag, or no tag")
}
