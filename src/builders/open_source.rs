//! Opens the sources of a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image_source::{From, ImageSource};
use super::opened::OpenedLocation;
use crate::archive::{Archive, ArchiveFormat};
use crate::blocking::{run_blocking, run_cancellable};
use crate::content::{Effort, Lookup as _, Presence, Source};
use crate::control::Control;
use crate::engine_store;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::layout::Layout;
use crate::location::{DefaultLocation, Engine, Location};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::registry::Client;

/// Opens sources. Each layout and archive is opened once, so that its images share a handle.
pub(super) struct SourceOpener<'a> {
    client: &'a Result<Arc<Client>>,
    plain: DefaultLocation,
    control: &'a Control,
    layouts: HashMap<PathBuf, Arc<Layout>>,
    archives: HashMap<PathBuf, Archive>,
}

impl<'a> SourceOpener<'a> {
    /// `plain` states what a reference without a prefix means.
    pub(super) fn new(
        client: &'a Result<Arc<Client>>,
        plain: DefaultLocation,
        control: &'a Control,
    ) -> Self {
        Self { client, plain, control, layouts: HashMap::new(), archives: HashMap::new() }
    }

    pub(super) async fn open(&mut self, image: &ImageSource) -> Result<OpenedLocation> {
        let name = &image.name;
        match &image.from {
            From::Text(text) => {
                let location = Location::parse(text, self.plain)?;
                self.open_location(&location).await
            }
            From::Registry(reference) => self.in_registry(reference),
            From::Layout(layout) => {
                let path = layout.root().to_owned();
                let reference = Location::Layout { path, name: name.clone() }.to_string();
                let (layout, name) = (Arc::clone(layout), name.clone());
                let find = move || OpenedLocation::find_in_layout(layout, &name, reference);
                run_blocking("open", find).await
            }
            From::Archive(archive) => {
                let location = &archive.endpoint().location;
                let reference = match name {
                    ImageName::Only => location.clone(),
                    name => format!("{location}:{name}"),
                };
                OpenedLocation::find_in_archive(archive.clone(), name, reference)
            }
            From::Other(source) => named(source, name).await,
        }
    }

    async fn open_location(&mut self, location: &Location) -> Result<OpenedLocation> {
        match location {
            Location::Registry(reference) | Location::StoreOrRegistry(reference) => {
                self.in_registry(reference)
            }
            Location::Store(reference) => {
                Ok(OpenedLocation::in_store(self.store().await?, reference))
            }
            Location::Id { id, name } => {
                let (store, id, name) = (self.store().await?, id.clone(), name.clone());
                let find = move || OpenedLocation::in_store_by_id(store, &id, name.as_ref());
                run_blocking("open", find).await
            }
            Location::Layout { path, name } => {
                let layout = self.layout(path).await?;
                let (name, reference) = (name.clone(), location.to_string());
                let find = move || OpenedLocation::find_in_layout(layout, &name, reference);
                run_blocking("open", find).await
            }
            Location::Archive { format, path, name } => {
                let archive = self.archive(path, *format).await?;
                OpenedLocation::find_in_archive(archive, name, location.to_string())
            }
            Location::Engine { engine, path, name } => {
                open_engine(*engine, path, name, location.to_string()).await
            }
        }
    }

    async fn store(&mut self) -> Result<Arc<Layout>> {
        self.layout(&store_path()?).await.map_err(|error| {
            let is_missing = error.kind() == ErrorKind::NotFound;
            error.with_detail(is_missing.then_some(ErrorDetail::NotInStore))
        })
    }

    fn in_registry(&self, reference: &Reference) -> Result<OpenedLocation> {
        let client = self.client.as_ref().map_err(Error::clone_for)?;
        OpenedLocation::in_registry(reference, client)
    }

    async fn archive(&mut self, path: &Path, form: ArchiveFormat) -> Result<Archive> {
        if let Some(archive) = self.archives.get(path) {
            return Ok(archive.clone());
        }
        let file = path.to_owned();
        let open = move |control: &Control| Archive::open_with_control(&file, Some(form), control);
        let archive = run_cancellable(self.control, "read the archive", open).await?;
        self.archives.insert(path.to_owned(), archive.clone());
        Ok(archive)
    }

    async fn layout(&mut self, path: &Path) -> Result<Arc<Layout>> {
        if let Some(layout) = self.layouts.get(path) {
            return Ok(Arc::clone(layout));
        }
        let root = path.to_owned();
        let open = move |control: &Control| Layout::open_with_control(&root, control);
        let layout = Arc::new(run_cancellable(self.control, "open", open).await?);
        self.layouts.insert(path.to_owned(), Arc::clone(&layout));
        Ok(layout)
    }
}

/// Opens an engine's store, and finds the image there; `reference` is for people.
pub(crate) async fn open_engine(
    engine: Engine,
    path: &Path,
    name: &ImageName,
    reference: String,
) -> Result<OpenedLocation> {
    let store = engine_store::open(engine, path).await?;
    OpenedLocation::find_in_engine(store, name, reference).await
}

/// The directory of the user's store.
pub(super) fn store_path() -> Result<PathBuf> {
    Layout::default_path().ok_or_else(|| {
        Error::new(ErrorKind::Store, "store")
            .with_reason("none of RPULL_STORE, XDG_DATA_HOME and HOME is set to a directory")
            .with_detail(ErrorDetail::NoStorePath)
    })
}

/// An image of any source. A name that the source does not have is also tried in its full form, as a pull stores it.
async fn named(source: &Arc<dyn Source>, name: &ImageName) -> Result<OpenedLocation> {
    let endpoint = source.endpoint();
    let open = |name: ImageName, reference: String, full_name: String| OpenedLocation {
        source: Arc::clone(source),
        name,
        reference,
        full_name,
        layout: None,
    };
    let ImageName::Layout(text) = name else {
        return Ok(open(name.clone(), endpoint.location.clone(), String::new()));
    };
    if let Some(address) = &endpoint.address {
        let reference = format!("{address}:{text}");
        return Ok(open(ImageName::Tag(text.clone()), reference.clone(), reference));
    }
    let written_out = text.parse::<Reference>().ok().map(|reference| reference.to_string());
    for text in [Some(text), written_out.as_ref()].into_iter().flatten() {
        let name = ImageName::Layout(text.clone());
        if let Presence::Present(_) = source.name(&name, Effort::Local).await? {
            return Ok(open(name, text.clone(), text.clone()));
        }
    }
    Ok(open(name.clone(), text.clone(), text.clone()))
}
