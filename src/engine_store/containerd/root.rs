//! containerd's root, open for reading.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::bolt::Bolt;
use super::names::{self, NamedImage};
use crate::content::{Endpoint, EndpointKind};
use crate::descriptor::Descriptor;
use crate::digest::{Digest, VERIFIABLE_ALGORITHMS};
use crate::document::{DOCUMENT_LIMIT, Document};
use crate::engine_store::directory::EngineDir;
use crate::engine_store::store::not_found;
use crate::error::{Error, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::media::MediaType;
use crate::name::{ImageName, choice, several_images};
use crate::reference::full_name;

pub(super) const BLOBS: &str = "io.containerd.content.v1.content/blobs";
const NAMES: &str = "io.containerd.metadata.v1.bolt/meta.db";
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1.overlayfs";

/// The directories of its snapshots, by number.
pub(super) const SNAPSHOTS: &str = "io.containerd.snapshotter.v1.overlayfs/snapshots";

/// Directories and sizes, by chain id.
type Snapshots = HashMap<Digest, Vec<(PathBuf, Option<u64>)>>;

/// What was there when it was opened. An engine may change it meanwhile.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) dir: EngineDir,
    pub(super) endpoint: Endpoint,
    /// Images by digest, with their names; several namespaces may have one name.
    images: BTreeMap<Digest, (Descriptor, BTreeSet<String>)>,
    /// Directories and sizes of unpacked layers, by chain id: one for each namespace.
    pub(super) snapshots: Snapshots,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let location = format!("containerd-root:{}", path.display());
        let dir = EngineDir::open(path, &location)?;
        if dir.directory(BLOBS)?.is_none() {
            return Err(Error::new(ErrorKind::Store, "directory")
                .at(location)
                .with_reason(format!("is not a root of containerd: it has no `{BLOBS}`"))
                .with_hint("look for `root` in the output of `containerd config dump`"));
        }
        let endpoint = Endpoint { location, kind: EndpointKind::Engine, ..Endpoint::default() };
        let mut root = Self { dir, endpoint, images: BTreeMap::new(), snapshots: HashMap::new() };
        let named = root.database(NAMES).and_then(|db| {
            let Some(db) = db else { return Ok(None) };
            root.snapshots = root.find_snapshots(&db)?;
            names::images(&db).map(Some).map_err(|error| root.dir.failed("read", NAMES, error))
        });
        match named {
            Ok(Some(named)) => root.add(named),
            Ok(None) => root.add_unnamed()?,
            Err(error) => {
                tracing::warn!("{}; images are known by digest only", error.chain());
                root.add_unnamed()?;
            }
        }
        Ok(root)
    }

    fn database(&self, name: &str) -> Result<Option<Bolt>> {
        let Some(file) = self.dir.file(name)? else { return Ok(None) };
        Bolt::read(&file).map(Some).map_err(|error| self.dir.failed("read", name, error))
    }

    fn find_snapshots(&self, names: &Bolt) -> Result<Snapshots> {
        let database = format!("{SNAPSHOTTER}/metadata.db");
        let Some(own) = self.database(&database)? else { return Ok(HashMap::new()) };
        let failed = |name: &str, error| self.dir.failed("read", name, error);
        let keys = names::snapshots(names).map_err(|error| failed(NAMES, error))?;
        let dirs = names::snapshot_dirs(&own).map_err(|error| failed(&database, error))?;
        let dir = |key: String| {
            let (id, size) = dirs.get(&key)?;
            Some((self.dir.path(format!("{SNAPSHOTS}/{id}/fs")), *size))
        };
        let dirs = |keys: Vec<String>| keys.into_iter().filter_map(dir).collect();
        Ok(keys.into_iter().map(|(chain_id, keys)| (chain_id, dirs(keys))).collect())
    }

    fn add(&mut self, images: Vec<NamedImage>) {
        for NamedImage { name, target } in images {
            let digest = target.digest.clone();
            let (_, names) = self.images.entry(digest).or_insert_with(|| (target, BTreeSet::new()));
            // Docker and Kubernetes also name images by their digests.
            if name.parse::<Digest>().is_err() {
                names.insert(name);
            }
        }
    }

    /// Without names, the images are the documents that no other lists.
    fn add_unnamed(&mut self) -> Result<()> {
        let (mut documents, mut listed) = (Vec::new(), HashSet::new());
        for algorithm in VERIFIABLE_ALGORITHMS {
            for encoded in self.dir.names(&format!("{BLOBS}/{algorithm}"))?.unwrap_or_default() {
                let Ok(digest) = format!("{algorithm}:{encoded}").parse::<Digest>() else {
                    continue;
                };
                // Most blobs are layers, and larger.
                let Ok(Some(document)) = self.document(&digest) else { continue };
                listed.extend(document.entries().iter().map(|entry| entry.digest.clone()));
                documents.push(document.descriptor().clone());
            }
        }
        documents.retain(|document| !listed.contains(&document.digest));
        let images = documents.into_iter().map(|own| (own.digest.clone(), (own, BTreeSet::new())));
        self.images = images.collect();
        Ok(())
    }

    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<File>> {
        digest.algorithm()?;
        self.dir.file(&blob_name(digest))
    }

    /// The path of the file that a blob has.
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.path(blob_name(digest))
    }

    pub(super) fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        digest.algorithm()?;
        self.dir.small(&blob_name(digest), limit)
    }

    /// The document with this digest, verified; its type follows from its bytes.
    pub(super) fn document(&self, digest: &Digest) -> Result<Option<Document>> {
        let Some(bytes) = self.small_blob(digest, DOCUMENT_LIMIT)? else { return Ok(None) };
        let document = Document::from_response(bytes.into(), &MediaType::from(""), Some(digest));
        document.map(Some).map_err(|error| error.at(&self.endpoint.location))
    }

    /// The digest of the image that this name means.
    pub(super) fn find(&self, name: &ImageName) -> Result<Digest> {
        let text = match name {
            ImageName::Digest(digest) => return Ok(digest.clone()),
            ImageName::Only => return self.only(&self.images.keys().collect::<Vec<_>>(), None),
            ImageName::Tag(text) | ImageName::Layout(text) => text,
        };
        let full = full_name(text);
        let with_name = |wanted: &str| -> Vec<&Digest> {
            let named = self.images.iter().filter(|(_, (_, names))| names.contains(wanted));
            named.map(|(digest, _)| digest).collect()
        };
        let mut found = with_name(text);
        if found.is_empty() {
            found = with_name(&full);
        }
        if found.is_empty()
            && let Some(id) = ImageId::parse(text)
        {
            found = self.images.keys().filter(|digest| id.matches(digest)).collect();
        }
        self.only(&found, Some(text))
    }

    pub(super) fn image_digests(&self) -> impl Iterator<Item = &Digest> {
        self.images.keys()
    }

    /// The names of an image.
    pub(super) fn names_of(&self, digest: &Digest) -> Vec<String> {
        let found = self.images.get(digest);
        found.map(|(_, names)| names.iter().cloned().collect()).unwrap_or_default()
    }

    fn only(&self, found: &[&Digest], text: Option<&String>) -> Result<Digest> {
        match found {
            [one] => Ok((*one).clone()),
            [] => Err(self.not_found(text.map_or("image", |text| text))),
            several => {
                // One name of several namespaces does not select an image.
                let names = |digest: &Digest| {
                    if text.is_some() { Vec::new() } else { self.names_of(digest) }
                };
                let mut choices: Vec<_> =
                    several.iter().map(|digest| choice(&names(digest), digest)).collect();
                choices.sort();
                Err(several_images(&self.endpoint.location, &choices))
            }
        }
    }

    pub(super) fn not_found(&self, what: &str) -> Error {
        not_found(&self.endpoint, what)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm_name(), digest.encoded())
}
