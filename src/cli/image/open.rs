//! Opens the location that an argument names, for commands that read.

use std::path::PathBuf;
use std::sync::Arc;

use super::image_download::ImageDownload;
use super::other_platform::warn_of_other_platform;
use crate::archive::{Archive, ArchiveFormat};
use crate::blocking::run_cancellable;
pub(in crate::cli) use crate::builders::OpenedLocation;
use crate::builders::open_engine;
use crate::cli::settings::{ForeignLayers, Settings, platform};
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::document::{Document, ImageManifest, ParsedDocument};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::layout::Layout;
use crate::location::{DefaultLocation, Location};
use crate::reference::Reference;
use crate::transfer::{PlatformRequest, ResolvedImage, read_small, resolve_image};

/// Opens the location. `plain` is the meaning of a reference without a prefix.
pub(in crate::cli) async fn open(
    text: &str,
    plain: DefaultLocation,
    settings: &Settings,
) -> Result<OpenedLocation> {
    open_location(&Location::parse(text, plain)?, settings).await
}

pub(in crate::cli) async fn open_location(
    location: &Location,
    settings: &Settings,
) -> Result<OpenedLocation> {
    match location {
        Location::Store(reference) => store(reference, settings),
        Location::Id { id, name } => {
            let store = settings.store_with(&id.to_string())?;
            OpenedLocation::in_store_by_id(store, id, name.as_ref())
        }
        Location::Registry(reference) | Location::StoreOrRegistry(reference) => {
            registry(reference, settings)
        }
        Location::Layout { path, name } => {
            let layout = Arc::new(Layout::open_with_control(path, &settings.control)?);
            OpenedLocation::find_in_layout(layout, name, location.to_string())
        }
        Location::Archive { format, path, name } => {
            let archive = open_archive(path.clone(), Some(*format), settings).await?;
            OpenedLocation::find_in_archive(archive, name, location.to_string())
        }
        Location::Engine { engine, path, name } => {
            open_engine(*engine, path, name, location.to_string()).await
        }
    }
}

/// Opens an archive on a blocking thread: a pipe may be slow, and a large archive is scanned first.
pub(in crate::cli) async fn open_archive(
    path: PathBuf,
    format: Option<ArchiveFormat>,
    settings: &Settings,
) -> Result<Archive> {
    let open = move |control: &Control| Archive::open_with_control(&path, format, control);
    run_cancellable(&settings.control, "read the archive", open).await
}

/// Parses an image in a registry, for commands that need one.
pub(in crate::cli) fn registry_reference(text: &str) -> Result<Reference> {
    match Location::parse(text, DefaultLocation::Registry)? {
        Location::Registry(reference) => Ok(reference),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("image `{text}`"))
            .with_reason("expected an image in a registry")),
    }
}

/// Rejects `--creds` for images of several registries.
pub(in crate::cli) fn check_creds_of<'a>(
    images: impl IntoIterator<Item = &'a String>,
    settings: &Settings,
) -> Result<()> {
    let mut references = Vec::new();
    for text in images {
        match Location::parse(text, DefaultLocation::StoreOrRegistry)? {
            Location::Registry(reference) | Location::StoreOrRegistry(reference) => {
                references.push(reference);
            }
            _ => {}
        }
    }
    settings.check_creds(&references)
}

pub(in crate::cli) fn registry(
    reference: &Reference,
    settings: &Settings,
) -> Result<OpenedLocation> {
    let client = settings.client(&reference.to_string(), ForeignLayers::Fetch)?;
    OpenedLocation::in_registry(reference, &client)
}

fn store(reference: &Reference, settings: &Settings) -> Result<OpenedLocation> {
    let store = settings.store_with(&reference.to_string())?;
    Ok(OpenedLocation::in_store(store, reference))
}

fn in_store(reference: &Reference, settings: &Settings) -> Result<Option<OpenedLocation>> {
    let Some(store) = settings.store_if_any()? else { return Ok(None) };
    let entry = store.entry(&reference.to_string())?;
    entry.map(|_| self::store(reference, settings)).transpose()
}

/// Result of looking something up in the store before the registry.
pub(in crate::cli) enum Stored<T> {
    Present(T),
    Absent,
    /// The name is there, but not the requested platform, or not all content: reported only if the registry cannot help.
    Incomplete(Error),
    /// Damaged, and reported with a warning. The caller falls back to the registry.
    Damaged(Error),
}

impl<T> Stored<T> {
    /// Checks the result of a lookup. Damage is a warning, or an error with `--offline`.
    pub(in crate::cli) fn check(found: Result<Option<T>>, settings: &Settings) -> Result<Self> {
        let error = match found {
            Ok(found) => return Ok(found.map_or(Self::Absent, Self::Present)),
            Err(error) if settings.offline => return Err(error),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::NotFound if error.detail() != Some(ErrorDetail::DamagedBlob) => {
                Ok(Self::Incomplete(error))
            }
            ErrorKind::NotFound
            | ErrorKind::Store
            | ErrorKind::Mismatch
            | ErrorKind::InvalidDocument => {
                tracing::warn!("{}; falling back to the registry", error.chain());
                Ok(Self::Damaged(error))
            }
            _ => Err(error),
        }
    }
}

/// Reads what `text` names. A plain reference is read from the store if it is there, else from the registry.
pub(in crate::cli) async fn store_else_registry<T>(
    text: &str,
    settings: &Settings,
    read: impl AsyncFn(OpenedLocation) -> Result<T>,
) -> Result<T> {
    let location = Location::parse(text, DefaultLocation::StoreOrRegistry)?;
    let mut lacking = None;
    if let Location::StoreOrRegistry(reference) = &location {
        let found = match in_store(reference, settings) {
            Ok(Some(opened)) => read(opened).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match Stored::check(found, settings)? {
            Stored::Present(found) => return Ok(found),
            Stored::Absent => {}
            Stored::Incomplete(error) | Stored::Damaged(error) => lacking = Some(error),
        }
    }
    let elsewhere = match open_location(&location, settings).await {
        Ok(opened) => read(opened).await,
        Err(error) => Err(error),
    };
    elsewhere.map_err(|error| error_after_fallback(lacking, error))
}

/// Returns the error to report after falling back to a registry: what the store lacks if the registry could not help.
pub(in crate::cli) fn error_after_fallback(lacking: Option<Error>, of_registry: Error) -> Error {
    let no_help = matches!(
        of_registry.kind(),
        ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Registry | ErrorKind::Transport
    );
    let Some(lacking) = lacking.filter(|_| no_help) else { return of_registry };
    tracing::warn!("{}", of_registry.chain());
    lacking
}

/// One platform's image: its documents and its parsed config.
pub(in crate::cli) struct OpenedImage {
    pub(in crate::cli) opened: OpenedLocation,
    pub(in crate::cli) root: Document,
    pub(in crate::cli) manifest_document: Document,
    pub(in crate::cli) config: ImageConfig,
    /// The pull that provides its layers, if it is still running.
    pub(in crate::cli) arriving: Option<ImageDownload>,
}

impl OpenedImage {
    /// Opens the image, reading only manifest and config. A plain reference is read from the store if it is there, else
    /// from the registry.
    pub(in crate::cli) async fn open(
        text: &str,
        typed: Option<&str>,
        settings: &Settings,
    ) -> Result<Self> {
        let choice = platform(typed)?;
        let read = async |opened| Self::read(opened, &choice, settings).await;
        let image = store_else_registry(text, settings, read).await?;
        image.warn_of_other_platform(typed)?;
        Ok(image)
    }

    /// Warns if the image is for another platform than the host's, unless that was requested.
    pub(in crate::cli) fn warn_of_other_platform(&self, typed: Option<&str>) -> Result<()> {
        warn_of_other_platform(&self.opened.reference, &self.config, typed)
    }

    /// As [`OpenedImage::open`], for commands that read layers. An image of the store is read from the registry if it lacks
    /// one.
    pub(in crate::cli) async fn open_with_layers(
        text: &str,
        typed: Option<&str>,
        settings: &Settings,
    ) -> Result<Self> {
        let location = Location::parse(text, DefaultLocation::StoreOrRegistry)?;
        if settings.offline || !matches!(location, Location::StoreOrRegistry(_)) {
            return Self::open(text, typed, settings).await;
        }
        let choice = platform(typed)?;
        let read = async |opened| Self::read(opened, &choice, settings).await?.with_layers();
        let image = store_else_registry(text, settings, read).await?;
        image.warn_of_other_platform(typed)?;
        Ok(image)
    }

    /// Checks that its layout, if it is of one, has its layers.
    fn with_layers(self) -> Result<Self> {
        if let Some(layout) = &self.opened.layout {
            self.manifest()?.layers.iter().try_for_each(|layer| layout.check_blob(layer))?;
        }
        Ok(self)
    }

    /// Opens the image if the location is a plain reference, and the store has it with its layers.
    pub(in crate::cli) async fn in_store(
        location: &Location,
        typed: Option<&str>,
        settings: &Settings,
    ) -> Result<Stored<Self>> {
        let Location::StoreOrRegistry(reference) = location else { return Ok(Stored::Absent) };
        Stored::check(Self::stored(reference, &platform(typed)?, settings).await, settings)
    }

    /// Opens the image of a pull as soon as its config has arrived.
    pub(in crate::cli) async fn download(
        opened: OpenedLocation,
        arriving: ImageDownload,
    ) -> Result<Self> {
        let read = async {
            let ResolvedImage { root, manifest: chosen } = arriving.documents().await?;
            let config = arriving.config(config_of(&chosen, &opened)?).await?;
            let config = ImageConfig::parse(&config);
            Ok((root, chosen, config.map_err(|error| with_subject(&opened.reference, &error))?))
        };
        match read.await {
            Ok((root, chosen, config)) => Ok(Self {
                opened,
                root,
                manifest_document: chosen,
                config,
                arriving: Some(arriving),
            }),
            Err(error) => Err(arriving.stop_with(error).await),
        }
    }

    /// Returns a function that blocks until the pull has ended. Only then may the unpacked files become visible.
    pub(in crate::cli) fn wait_for_end(&self) -> impl FnOnce() -> Result<()> + Send + use<> {
        let wait_for_end = self.arriving.as_ref().map(ImageDownload::wait_for_end);
        move || wait_for_end.map_or(Ok(()), |wait_for_end| wait_for_end())
    }

    /// As [`OpenedImage::open`], without looking in the store first.
    pub(in crate::cli) async fn open_at(
        location: &Location,
        typed: Option<&str>,
        settings: &Settings,
    ) -> Result<Self> {
        Self::read(open_location(location, settings).await?, &platform(typed)?, settings).await
    }

    async fn stored(
        reference: &Reference,
        choice: &PlatformRequest,
        settings: &Settings,
    ) -> Result<Option<Self>> {
        match in_store(reference, settings)? {
            Some(opened) => Self::read(opened, choice, settings).await?.with_layers().map(Some),
            None => Ok(None),
        }
    }

    async fn read(
        opened: OpenedLocation,
        choice: &PlatformRequest,
        settings: &Settings,
    ) -> Result<Self> {
        let (source, name) = (&*opened.source, &opened.name);
        let picked = resolve_image(source, name, &opened.reference, Some(choice), &settings.retry);
        let ResolvedImage { root, manifest: chosen } = picked.await?;
        let config = read_config(config_of(&chosen, &opened)?, &opened, settings).await?;
        Ok(Self { opened, root, manifest_document: chosen, config, arriving: None })
    }

    pub(in crate::cli) fn manifest(&self) -> Result<&ImageManifest> {
        self.manifest_document.manifest()
    }
}

fn config_of<'a>(manifest: &'a Document, opened: &OpenedLocation) -> Result<&'a Descriptor> {
    match manifest.parsed() {
        ParsedDocument::Manifest(own) if own.config.media_type.is_image_config() => Ok(&own.config),
        _ => Err(not_an_image(manifest, &opened.reference)),
    }
}

/// Returns the error for a document without an image config.
pub(in crate::cli) fn not_an_image(document: &Document, reference: &str) -> Error {
    let reason = match document.as_referrer().artifact_type {
        Some(kind) => format!("is not an image, but an artifact of type {kind}"),
        None => format!("is not an image, but a {}", document.descriptor().media_type),
    };
    Error::new(ErrorKind::Unsupported, reference)
        .with_reason(reason)
        .with_detail(ErrorDetail::NotAnImage)
}

/// Reads the config of an image. Its errors name the image.
pub(in crate::cli) async fn read_config(
    config: &Descriptor,
    opened: &OpenedLocation,
    settings: &Settings,
) -> Result<ImageConfig> {
    let bytes = read_small(&*opened.source, config, CONFIG_LIMIT, settings.retry).await;
    bytes
        .and_then(|bytes| ImageConfig::parse(&bytes))
        .map_err(|error| with_subject(&opened.reference, &error))
}

/// Returns the same error with the image's name as its subject.
pub(in crate::cli) fn with_subject(reference: &str, error: &Error) -> Error {
    Error::new(error.kind(), reference).with_reason(error.chain()).with_data_of(error)
}
