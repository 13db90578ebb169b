//! A tar of an image layout as something to write to.
//!
//! Its order is that of the run: documents, then configs and layers as the manifests list them, and at the end what
//! names them. So the same images make the same bytes, and an archive that was cut off has no names in it.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::atomic_file::{AtomicFile, io_error};
use super::blob_area::BlobArea;
use super::docker_manifest::DockerManifest;
use super::header::{END, header};
use super::named::ImageNames;
use super::options::{ArchiveOutput, WriteOptions};
use super::sink::ArchiveSink;
use super::tarball::BLOCK;
use super::{docker, oci};
use crate::annotation;
use crate::content::{
    BlobPresence, Effort, Endpoint, EndpointKind, Incoming, Label, Lookup, Opened, Presence, Target,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageManifest, ParsedDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::ImageName;
use crate::platform::{self, Platform};

pub(super) struct OciTarget {
    endpoint: Endpoint,
    output: ArchiveOutput,
    options: WriteOptions,
    open: OnceLock<OpenArchive>,
    state: Mutex<WriteState>,
}

/// The file, once there is one.
struct OpenArchive {
    shelf: BlobArea,
    draft: Mutex<Option<AtomicFile>>,
}

#[derive(Default)]
struct WriteState {
    /// Documents that are to come.
    documents: HashMap<Digest, Document>,
    /// Those that are there.
    stored: HashMap<Digest, Document>,
    sizes: HashMap<Digest, u64>,
    named: ImageNames,
}

impl OciTarget {
    pub(super) fn new(output: ArchiveOutput, options: WriteOptions) -> Self {
        let location = match &output {
            ArchiveOutput::File(path) => format!("oci-archive:{}", path.display()),
            ArchiveOutput::Stdout => "stdout".to_owned(),
        };
        let endpoint = Endpoint { location, kind: EndpointKind::Archive, ..Endpoint::default() };
        Self { endpoint, output, options, open: OnceLock::new(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, WriteState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<&OpenArchive> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let (sink, draft) = match &self.output {
            ArchiveOutput::Stdout => {
                (ArchiveSink::pipe(Box::new(std::io::stdout()), "stdout"), None)
            }
            ArchiveOutput::File(path) => {
                let draft = AtomicFile::create(path)?;
                let file =
                    draft.file().try_clone().map_err(|error| io_error("open", path, error))?;
                (ArchiveSink::file(file, path.clone()), Some(draft))
            }
        };
        Ok(self
            .open
            .get_or_init(|| OpenArchive { shelf: BlobArea::new(sink), draft: Mutex::new(draft) }))
    }

    fn header(&self, digest: &Digest, size: u64) -> Result<Vec<u8>> {
        Ok(header(&oci::name_of(digest)?, size, self.options.modified))
    }

    async fn place(&self, document: &Document) -> Result<()> {
        let descriptor = document.descriptor();
        let header = self.header(&descriptor.digest, descriptor.size)?;
        self.open()?.shelf.place(descriptor, document.bytes(), header).await?;
        self.state().stored.insert(descriptor.digest.clone(), document.clone());
        Ok(())
    }

    /// Gives every blob its place before any comes, in an order that does not depend on which comes first.
    async fn assign_slots(&self, digests: &[Digest]) -> Result<()> {
        let open = self.open()?;
        for digest in digests {
            let (document, size) = {
                let state = self.state();
                (state.documents.get(digest).cloned(), state.sizes.get(digest).copied())
            };
            match (document, size) {
                (Some(document), _) => self.place(&document).await?,
                (None, Some(size)) => {
                    open.shelf.reserve(digest, size, self.header(digest, size)?)?;
                }
                // An index that a manifest was chosen from stays where it was.
                (None, None) => {}
            }
        }
        open.shelf.sink.check_space(open.shelf.end())
    }

    async fn finish(&self) -> Result<()> {
        self.state().named.check(self.options.expected_images, &self.endpoint.location)?;
        let open = self.open()?;
        let mut at = open.shelf.end();
        for (name, text) in self.names() {
            let entry = [header(name, text.len() as u64, self.options.modified), text].concat();
            let next = at + entry.len() as u64;
            open.shelf.sink.write(entry.into(), at).await?;
            at = next.next_multiple_of(BLOCK);
        }
        open.shelf.sink.write(Bytes::from_static(&END), at).await?;
        open.shelf.sink.finish(at + END.len() as u64)?;
        let draft = open.draft.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(draft) = draft else { return Ok(()) };
        let sync = self.options.sync;
        tokio::task::spawn_blocking(move || draft.publish(sync)).await.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Store, "write the archive").with_source(error))
        })
    }

    /// The files that name the images, in order.
    fn names(&self) -> Vec<(&'static str, Vec<u8>)> {
        let state = self.state();
        let entries: Vec<Descriptor> = state
            .named
            .iter()
            .map(|(name, document)| {
                let own = document.descriptor();
                let mut entry =
                    Descriptor::new(own.media_type.clone(), own.digest.clone(), own.size);
                entry.platform.clone_from(&own.platform);
                annotation::rename(&mut entry, name);
                entry
            })
            .collect();
        let index =
            json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries});
        let mut files = vec![(oci::INDEX, index.to_string().into_bytes())];
        if self.options.with_docker_manifest {
            files.push((docker::MANIFEST, self.docker_manifest(&state).json()));
        }
        files.push((oci::MARKER, oci::MARKER_TEXT.into()));
        files
    }

    /// The images that docker can load from here: one platform of each, and only what is whole.
    fn docker_manifest(&self, state: &WriteState) -> DockerManifest {
        let mut items = DockerManifest::default();
        for (name, document) in state.named.iter() {
            let Some(manifest) = runnable(document, &state.stored) else { continue };
            let path = |blob: &Descriptor| {
                let whole = self.slot_is_whole(&blob.digest);
                whole.then(|| oci::name_of(&blob.digest).ok()).flatten()
            };
            let layers: Option<Vec<String>> = manifest.layers.iter().map(path).collect();
            if let (Some(config), Some(layers)) = (path(&manifest.config), layers)
                && manifest.config.media_type.is_image_config()
            {
                items.add(name, config, layers);
            }
        }
        items
    }

    fn slot_is_whole(&self, digest: &Digest) -> bool {
        let slot = self.open.get().and_then(|open| open.shelf.slot(digest));
        slot.is_some_and(|slot| slot.is_complete())
    }

    fn is_omitted(&self, descriptor: &Descriptor) -> bool {
        self.options.omitted.contains(&descriptor.digest)
    }
}

/// The manifest itself, or the one of an index that runs on this host.
fn runnable<'a>(
    document: &'a Document,
    stored: &'a HashMap<Digest, Document>,
) -> Option<&'a ImageManifest> {
    match document.content() {
        ParsedDocument::Manifest(manifest) => Some(manifest),
        ParsedDocument::Artifact(_) => None,
        ParsedDocument::Index(index) => {
            let host = Platform::host();
            let chosen = platform::select(&host, &index.manifests).into_iter().next()?;
            stored.get(&chosen.digest)?.manifest().ok()
        }
    }
}

impl Lookup for OciTarget {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        let found = self.state().named.get(name).map(|document| document.descriptor().clone());
        Box::pin(ready(Ok(found.into())))
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        let stored = self.state().stored.get(&descriptor.digest).cloned();
        let document = stored.filter(|document| document.descriptor().size == descriptor.size);
        let document = document.map(|document| document.bytes().clone());
        let blob = || self.open.get().and_then(|open| open.shelf.read(descriptor, limit));
        Box::pin(ready(Ok(document.or_else(blob).into())))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        let presence = match self.open.get() {
            _ if self.is_omitted(descriptor) => BlobPresence::Complete,
            Some(open) => open.shelf.holds(descriptor),
            None => BlobPresence::Absent,
        };
        Box::pin(ready(Ok(presence)))
    }
}

impl Target for OciTarget {
    fn stored<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Option<Document>>> {
        let stored = self.state().stored.get(&descriptor.digest).cloned();
        let same = |document: &Document| document.descriptor().size == descriptor.size;
        Box::pin(ready(Ok(stored.filter(same))))
    }

    fn survey<'a>(&'a self, image: Incoming<'a>) -> BoxFuture<'a, Result<bool>> {
        let mut state = self.state();
        for document in image.documents {
            state.documents.insert(document.digest().clone(), document.clone());
            let sizes = document.blobs().map(|blob| (blob.digest.clone(), blob.size));
            state.sizes.extend(sizes);
        }
        Box::pin(ready(Ok(false)))
    }

    fn holds<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<BlobPresence>> {
        let held = match self.open.get() {
            _ if self.is_omitted(descriptor) => BlobPresence::Complete,
            Some(open) => open.shelf.holds(descriptor),
            None => BlobPresence::Absent,
        };
        Box::pin(ready(Ok(held)))
    }

    fn announce<'a>(&'a self, digests: &'a [Digest]) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.assign_slots(digests))
    }

    fn in_order(&self) -> bool {
        self.output == ArchiveOutput::Stdout
    }

    fn admit<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async move {
            if self.is_omitted(descriptor) {
                return Ok(Opened::Exists);
            }
            let header = self.header(&descriptor.digest, descriptor.size)?;
            self.open()?.shelf.admit(descriptor, header).await
        })
    }

    fn put<'a>(
        &'a self,
        document: &'a Document,
        label: Option<&'a Label>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.place(document).await?;
            let Some(label) = label else { return Ok(()) };
            let mut state = self.state();
            state.named.count();
            state.named.add(document, label, &self.endpoint.location)
        })
    }

    fn attach<'a>(&'a self, document: &'a Document, label: &'a Label) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.place(document).await?;
            self.state().named.add(document, label, &self.endpoint.location)
        })
    }

    fn settles_all(&self) -> bool {
        true
    }

    fn settle(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.finish())
    }
}
