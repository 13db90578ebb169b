//! Docker's data root, open for reading.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::layer_db::LayerDb;
use super::paths;
use super::repositories::Repositories;
use crate::content::{Endpoint, EndpointKind};
use crate::digest::Digest;
use crate::document::Document;
use crate::engine_store::directory::EngineDir;
use crate::error::{Error, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::name::{ImageName, choice, several_images};

/// Maximum size of repositories.json.
const MAX_REPOSITORIES_BYTES: u64 = 64 << 20;

/// What was there when it was opened. An engine may change it meanwhile.
#[derive(Debug)]
pub(super) struct DataRoot {
    pub(super) dir: EngineDir,
    pub(super) endpoint: Endpoint,
    pub(super) names: Repositories,
    /// Ids of all images, also of those that only others were built from.
    pub(super) images: BTreeSet<Digest>,
    pub(super) layers: LayerDb,
    pub(super) cache: Cache,
}

/// What took long to find out.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<CacheContent>);

#[derive(Debug, Default)]
pub(super) struct CacheContent {
    /// Manifests by image id.
    pub(super) documents: HashMap<Digest, Document>,
    /// Sizes of tars by chain id; `None` for those that cannot be rebuilt.
    pub(super) tar_sizes: HashMap<Digest, Option<u64>>,
}

impl Cache {
    pub(super) fn lock(&self) -> MutexGuard<'_, CacheContent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataRoot {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let location = format!("docker-root:{}", path.display());
        let dir = EngineDir::open(path, &location)?;
        check_driver(&dir, &location)?;
        let names = match dir.small(paths::REPOSITORIES, MAX_REPOSITORIES_BYTES)? {
            Some(text) => Repositories::parse(&text).map_err(|error| {
                dir.corrupt(paths::REPOSITORIES, "is corrupt").with_source(error)
            })?,
            None => Repositories::default(),
        };
        let ids = dir.names(paths::CONFIGS)?.unwrap_or_default();
        let images = ids.iter().filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect();
        let layers = LayerDb::read(&dir)?;
        let endpoint = Endpoint::new(location).kind(EndpointKind::Engine).has_plain_layers();
        Ok(Self { dir, endpoint, names, images, layers, cache: Cache::default() })
    }

    /// The image that this name means: a name, or the beginning of an id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no image matches, [`ErrorKind::InvalidInput`] if several do.
    pub(super) fn find(&self, name: &ImageName) -> Result<Digest> {
        let text = match name {
            ImageName::Only => return self.only_image(),
            ImageName::Digest(digest) => digest.to_string(),
            ImageName::Tag(text) | ImageName::Layout(text) => text.clone(),
        };
        if let Some(id) = self.names.find(&text) {
            return Ok(id.clone());
        }
        let id = ImageId::parse(&text);
        let matches = |known: &&Digest| id.as_ref().is_some_and(|id| id.matches(known));
        let found: Vec<&Digest> = self.images.iter().filter(matches).collect();
        match found.as_slice() {
            [] => match name {
                ImageName::Digest(digest) => self.with_manifest(digest),
                _ => Err(self.not_found(&text)),
            },
            [one] => Ok((*one).clone()),
            several => Err(several_images(&self.endpoint.location, &self.choices(several))),
        }
    }

    /// The image whose manifest, as it is made here, has this digest.
    pub(super) fn with_manifest(&self, digest: &Digest) -> Result<Digest> {
        let has_it = |document: &Document| document.digest() == digest;
        let cached = self
            .cache
            .lock()
            .documents
            .iter()
            .find(|(_, document)| has_it(document))
            .map(|(id, _)| id.clone());
        // A broken image must not hide the others.
        let made = |id: &&Digest| self.document(id).is_ok_and(|document| has_it(&document));
        let found = cached.or_else(|| self.images.iter().find(made).cloned());
        found.ok_or_else(|| self.not_found(&digest.to_string()))
    }

    /// The names of an image, and its id, for errors and tables.
    pub(super) fn names_of(&self, id: &Digest) -> Vec<String> {
        self.names.names_of(id)
    }

    /// The images that `docker images` shows: all with a name, and of the others those that nothing was built from.
    pub(super) fn shown_images(&self) -> Result<Vec<&Digest>> {
        let named: BTreeSet<&Digest> = self.names.iter().map(|(_, id)| id).collect();
        let mut parents = BTreeSet::new();
        for id in &self.images {
            if let Some(text) = self.dir.small(&paths::image_parent(id), 1 << 10)?
                && let Ok(parent) = String::from_utf8_lossy(&text).trim().parse::<Digest>()
            {
                parents.insert(parent);
            }
        }
        let is_shown = |id: &&Digest| named.contains(id) || !parents.contains(id);
        Ok(self.images.iter().filter(is_shown).collect())
    }

    fn only_image(&self) -> Result<Digest> {
        let mut shown = self.shown_images()?;
        let is_named = |id: &&Digest| !self.names.names_of(id).is_empty();
        if shown.iter().any(is_named) {
            shown.retain(is_named);
        }
        match shown.as_slice() {
            [] => Err(Error::new(ErrorKind::NotFound, "image")
                .at(&self.endpoint.location)
                .with_reason("the engine's store contains no images")),
            [one] => Ok((*one).clone()),
            several => Err(several_images(&self.endpoint.location, &self.choices(several))),
        }
    }

    fn choices(&self, images: &[&Digest]) -> Vec<String> {
        let mut choices: Vec<String> =
            images.iter().map(|id| choice(&self.names.names_of(id), id)).collect();
        choices.sort();
        choices
    }
}

/// Checks that the images are those of the graph driver overlay2.
fn check_driver(dir: &EngineDir, location: &str) -> Result<()> {
    let Some(drivers) = dir.names(paths::IMAGES)? else {
        let error = Error::new(ErrorKind::Store, "directory")
            .at(location)
            .with_reason("is not a data root of docker: it has no `image` directory");
        return Err(match dir.names("containerd/daemon/io.containerd.content.v1.content")? {
            Some(_) => error.with_hint(format!(
                "use `containerd-root:{}`: this docker keeps its images with containerd",
                dir.path("containerd/daemon").display()
            )),
            None => error.with_hint("run `docker info` to see `Docker Root Dir`"),
        });
    };
    if drivers.iter().any(|driver| driver == paths::DRIVER) {
        return Ok(());
    }
    let listed = if drivers.is_empty() { "none".to_owned() } else { drivers.join(", ") };
    Err(Error::new(ErrorKind::Unsupported, "directory").at(location).with_reason(format!(
        "unsupported graph driver, expected {}, found: {listed}",
        paths::DRIVER
    )))
}
