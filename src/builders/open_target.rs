//! Opens the targets of a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image_target::{ImageTarget, To};
use super::open_source::store_path;
use super::opened::OpenedLocation;
use crate::archive::{self, ArchiveFormat, ArchiveOutput, WriteOptions};
use crate::blocking::run_cancellable;
use crate::content::{EmptyTarget, Target};
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, LayoutOptions};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::registry::Client;

/// The purpose of opening targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenFor {
    /// Missing layouts and archives are created.
    Write,
    /// Nothing is changed; a missing layout counts as empty.
    Plan,
}

/// An open target, with the name of an image in it.
pub(super) struct OpenedTarget {
    pub(super) target: Arc<dyn Target>,
    pub(super) name: ImageName,
    /// The full name of the image, for messages.
    pub(super) reference: String,
    /// Whether it can contain only one platform of an image.
    pub(super) is_single_platform: bool,
}

/// Opens targets, each once: images with the same target share a handle.
pub(super) struct TargetOpener<'a> {
    client: &'a Result<Arc<Client>>,
    purpose: OpenFor,
    control: &'a Control,
    paths: HashMap<PathBuf, Arc<dyn Target>>,
    repositories: HashMap<String, Arc<dyn Target>>,
    /// Number of images of each archive.
    archives: HashMap<PathBuf, usize>,
    uploads: Option<Arc<Layout>>,
}

impl<'a> TargetOpener<'a> {
    /// An opener for these targets.
    pub(super) fn new<'b>(
        client: &'a Result<Arc<Client>>,
        purpose: OpenFor,
        control: &'a Control,
        targets: impl Iterator<Item = &'b ImageTarget>,
    ) -> Self {
        let mut archives = HashMap::new();
        for target in targets {
            if let To::Text(text) = &target.to
                && let Ok(Location::Archive { path, .. }) =
                    Location::parse(text, DefaultLocation::Registry)
            {
                *archives.entry(path).or_insert(0) += 1;
            }
        }
        Self {
            client,
            purpose,
            control,
            paths: HashMap::new(),
            repositories: HashMap::new(),
            archives,
            uploads: None,
        }
    }

    /// Stores upload sessions in this layout, so that later runs can continue the uploads.
    pub(super) fn keep_uploads_in(&mut self, layout: Option<Arc<Layout>>) {
        self.uploads = layout;
    }

    pub(super) async fn open(
        &mut self,
        target: &ImageTarget,
        image: &OpenedLocation,
    ) -> Result<OpenedTarget> {
        match &target.to {
            To::Registry(reference) => {
                self.open_location(&Location::Registry(reference.clone()), image).await
            }
            To::Text(text) => {
                let location = Location::parse(text, DefaultLocation::Registry)?;
                self.open_location(&location, image).await
            }
            To::Open(open) => Ok(OpenedTarget {
                target: Arc::clone(open),
                name: name_at(&**open, target.name.as_deref(), image)?,
                reference: image.reference.clone(),
                is_single_platform: false,
            }),
        }
    }

    async fn open_location(
        &mut self,
        location: &Location,
        image: &OpenedLocation,
    ) -> Result<OpenedTarget> {
        location.check_as_target()?;
        let is_single_platform =
            matches!(location, Location::Archive { format: ArchiveFormat::Docker, .. });
        let (target, name, reference) = match location {
            Location::Registry(reference) | Location::StoreOrRegistry(reference) => {
                (self.repository(reference)?, reference.name(), reference.to_string())
            }
            Location::Store(reference) | Location::Id { name: Some(reference), .. } => {
                let name = ImageName::Layout(reference.store_name());
                (
                    self.layout(
                        &store_path()?,
                        LayoutOptions { private: true, ..LayoutOptions::default() },
                    )
                    .await?,
                    name,
                    reference.to_string(),
                )
            }
            // Rejected above: an id cannot be the name of a new image, and engines are only read from.
            Location::Id { id, name: None } => return Err(unnamed(&id.to_string())),
            Location::Engine { .. } => return Err(unnamed(&location.to_string())),
            Location::Layout { path, name } => {
                let name = name_or_own(name, image)?;
                (self.layout(path, LayoutOptions::default()).await?, name, image.reference.clone())
            }
            Location::Archive { format, path, name } => {
                let name = name_or_own(name, image)?;
                (self.archive(*format, path)?, name, image.reference.clone())
            }
        };
        Ok(OpenedTarget { target, name, reference, is_single_platform })
    }

    fn repository(&mut self, reference: &Reference) -> Result<Arc<dyn Target>> {
        let key = reference.repository_name();
        if let Some(target) = self.repositories.get(&key) {
            return Ok(Arc::clone(target));
        }
        let client = self.client.as_ref().map_err(Error::clone_for)?;
        let repository = client.repository_for_push(reference)?;
        let target: Arc<dyn Target> = match &self.uploads {
            Some(layout) => Arc::new(repository.with_upload_store(Arc::<Layout>::clone(layout))),
            None => Arc::new(repository),
        };
        self.repositories.insert(key, Arc::clone(&target));
        Ok(target)
    }

    async fn layout(&mut self, path: &Path, options: LayoutOptions) -> Result<Arc<dyn Target>> {
        if let Some(target) = self.paths.get(path) {
            return Ok(Arc::clone(target));
        }
        let (root, purpose) = (path.to_owned(), self.purpose);
        let open = move |control: &Control| -> Result<Arc<dyn Target>> {
            match purpose {
                OpenFor::Write => {
                    Ok(Arc::new(Layout::create_with_control(&root, options, control)?))
                }
                OpenFor::Plan => match Layout::open_with_control(&root, control) {
                    Ok(layout) => Ok(Arc::new(layout)),
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        Ok(Arc::new(EmptyTarget::new(format!("oci:{}", root.display()))))
                    }
                    Err(error) => Err(error),
                },
            }
        };
        // Opening may wait for other processes, and hash many blobs after a restart.
        let target = run_cancellable(self.control, "open", open).await?;
        self.paths.insert(path.to_owned(), Arc::clone(&target));
        Ok(target)
    }

    fn archive(&mut self, format: ArchiveFormat, path: &Path) -> Result<Arc<dyn Target>> {
        if let Some(target) = self.paths.get(path) {
            return Ok(Arc::clone(target));
        }
        let expected_images = self.archives.get(path).copied().unwrap_or(1);
        let control = self.control.clone();
        let options = WriteOptions { format, expected_images, control, ..WriteOptions::default() };
        let target = archive::write(ArchiveOutput::File(path.to_owned()), options)?;
        self.paths.insert(path.to_owned(), Arc::clone(&target));
        Ok(target)
    }
}

/// The name in the target's text, else the image's own.
fn name_or_own(name: &ImageName, image: &OpenedLocation) -> Result<ImageName> {
    match name {
        ImageName::Layout(_) => Ok(name.clone()),
        _ if image.full_name.is_empty() => Err(unnamed("image")),
        _ => Ok(ImageName::Layout(image.full_name.clone())),
    }
}

/// The name at an open target: a tag in a repository, else a full name.
fn name_at(target: &dyn Target, set: Option<&str>, image: &OpenedLocation) -> Result<ImageName> {
    let is_repository = target.endpoint().address.is_some();
    match set {
        Some(tag) if is_repository => Ok(ImageName::Tag(tag.to_owned())),
        Some(name) => Ok(ImageName::Layout(name.to_owned())),
        None if is_repository => match image.full_name.parse::<Reference>() {
            Ok(reference) => Ok(reference.name()),
            Err(_) => Err(unnamed("image")),
        },
        None => name_or_own(&ImageName::Only, image),
    }
}

fn unnamed(image: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, image)
        .with_reason("has no name for the target")
        .with_hint("name it with `ImageTarget::named`")
}
