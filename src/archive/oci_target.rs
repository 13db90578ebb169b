//! [`Target`] for a tar of an image layout.
//!
//! The order of its entries is that of the plan: documents, then configs and layers as the manifests list them, and the
//! index last. So the same images give the same bytes, and a truncated archive has no names.
//!
//! An archive is written in one run. A file accepts blobs in any order and appends unplanned ones; standard output
//! accepts only the planned blobs, in order.

use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::archive_file::{ArchiveFile, io_error};
use super::blob_area::BlobArea;
use super::docker_manifest::DockerManifest;
use super::header::{END, header};
use super::image_names::ImageNames;
use super::options::{ArchiveOutput, WriteOptions};
use super::single_run::SingleRun;
use super::sink::ArchiveSink;
use super::tarball::BLOCK;
use super::{docker, oci};
use crate::annotation;
use crate::blocking::run_blocking;
use crate::content::{
    BlobPresence, Effort, Endpoint, EndpointKind, Lookup, OpenBlobOptions, Opened, Presence, Role,
    Target, TargetPlan, TargetProperties, TargetWriter, check_content,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageManifest, ParsedDocument, entries_for_platform};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::ImageName;
use crate::oci_layout_file;
use crate::platform::Platform;

pub(super) struct OciTarget(Arc<OciArchive>);

/// The archive being written: properties of the target and the state of its single run.
struct OciArchive {
    endpoint: Endpoint,
    output: ArchiveOutput,
    options: WriteOptions,
    open: OnceLock<OpenArchive>,
    state: Mutex<WriteState>,
    run: SingleRun,
}

/// The output, once it is open.
struct OpenArchive {
    area: BlobArea,
    archive_file: Mutex<Option<ArchiveFile>>,
}

#[derive(Default)]
struct WriteState {
    stored: HashMap<Digest, Document>,
    /// Blobs still to come, in the order of their slots.
    order: VecDeque<Digest>,
    named: ImageNames,
}

impl OciTarget {
    pub(super) fn new(output: ArchiveOutput, options: WriteOptions) -> Self {
        let location = match &output {
            ArchiveOutput::File(path) => format!("oci-archive:{}", path.display()),
            ArchiveOutput::Stdout => "stdout".to_owned(),
        };
        Self(Arc::new(OciArchive {
            endpoint: Endpoint { location, kind: EndpointKind::Archive, ..Endpoint::default() },
            output,
            options,
            open: OnceLock::new(),
            state: Mutex::default(),
            run: SingleRun::default(),
        }))
    }
}

impl OciArchive {
    fn location(&self) -> &str {
        &self.endpoint.location
    }

    fn is_sequential(&self) -> bool {
        self.output == ArchiveOutput::Stdout
    }

    fn state(&self) -> MutexGuard<'_, WriteState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<&OpenArchive> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let (sink, archive_file) = match &self.output {
            ArchiveOutput::Stdout => {
                (ArchiveSink::pipe(Box::new(std::io::stdout()), "stdout"), None)
            }
            ArchiveOutput::File(path) => {
                let archive_file = ArchiveFile::create(path)?;
                let file = archive_file
                    .file()
                    .try_clone()
                    .map_err(|error| io_error("open", path, error))?;
                (ArchiveSink::file(file, path.clone()), Some(archive_file))
            }
        };
        Ok(self.open.get_or_init(|| OpenArchive {
            area: BlobArea::new(sink),
            archive_file: Mutex::new(archive_file),
        }))
    }

    fn header(&self, digest: &Digest, size: u64) -> Result<Vec<u8>> {
        Ok(header(&oci::name_of(digest)?, size, self.options.modified))
    }

    async fn fill(&self, document: &Document) -> Result<()> {
        let descriptor = document.descriptor();
        let header = self.header(&descriptor.digest, descriptor.size)?;
        self.open()?.area.fill(descriptor, document.bytes(), header).await?;
        self.state().stored.insert(descriptor.digest.clone(), document.clone());
        Ok(())
    }

    /// Assigns a slot to every blob beforehand, so that the order does not depend on arrival.
    async fn assign_slots(&self, plan: &TargetPlan<'_>) -> Result<()> {
        self.run.begin(self.location())?;
        let open = self.open()?;
        for document in plan.named_documents() {
            self.fill(document).await?;
        }
        for (Descriptor { digest, size, .. }, presence) in &plan.blobs {
            // A second size for the same digest is rejected when the blob is opened.
            if *presence != BlobPresence::Complete && open.area.slot(digest).is_none() {
                open.area.reserve(digest, *size, self.header(digest, *size)?)?;
                self.state().order.push_back(digest.clone());
            }
        }
        open.area.sink.check_space(open.area.end())
    }

    fn refusal(&self, reason: &str) -> Error {
        Error::new(ErrorKind::Unsupported, "write").at(self.location()).with_reason(reason)
    }

    async fn open_blob(&self, descriptor: &Descriptor) -> Result<Opened> {
        self.run.check(self.location())?;
        if self.is_omitted(descriptor) {
            return Ok(Opened::Exists);
        }
        let digest = &descriptor.digest;
        if self.is_sequential() && !self.slot_is_whole(digest) {
            let mut state = self.state();
            while state.order.front().is_some_and(|next| self.slot_is_whole(next)) {
                state.order.pop_front();
            }
            if state.order.front() != Some(digest) {
                return Err(self.refusal("a pipe takes the blobs of its plan one by one, in order"));
            }
        }
        let header = self.header(digest, descriptor.size)?;
        self.open()?.area.open(descriptor, header).await
    }

    async fn put_manifest(&self, document: &Document, role: Role<'_>) -> Result<()> {
        let location = self.location();
        self.run.check(location)?;
        check_content(document, location, |content| {
            Ok(self.is_omitted(content) || self.slot_is_whole(&content.digest))
        })?;
        if self.is_sequential() && !self.slot_is_whole(document.digest()) {
            return Err(self.refusal("a pipe takes no document that is not in its plan"));
        }
        self.fill(document).await?;
        let mut state = self.state();
        match role {
            Role::Child => Ok(()),
            Role::Root { names, .. } => {
                state.named.count();
                state.named.add(document, names, location)
            }
            Role::Attached { names, .. } => state.named.add(document, names, location),
        }
    }

    async fn finish(&self) -> Result<()> {
        let location = self.location();
        self.run.finish(location)?;
        self.state().named.check(self.options.expected_images, location)?;
        let open = self.open()?;
        let mut at = open.area.end();
        for (name, text) in self.names() {
            let entry = [header(name, text.len() as u64, self.options.modified), text].concat();
            let next = at + entry.len() as u64;
            open.area.sink.write(entry.into(), at).await?;
            at = next.next_multiple_of(BLOCK);
        }
        open.area.sink.write(Bytes::from_static(&END), at).await?;
        open.area.sink.finish(at + END.len() as u64)?;
        let archive_file = open.archive_file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(archive_file) = archive_file else { return Ok(()) };
        let sync = self.options.sync;
        run_blocking("write the archive", move || archive_file.publish(sync)).await
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
        files.push((oci_layout_file::NAME, oci_layout_file::TEXT.into()));
        files
    }

    /// The images that docker can load from this archive: one platform of each, and only complete ones.
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
        let slot = self.open.get().and_then(|open| open.area.slot(digest));
        slot.is_some_and(|slot| slot.is_complete())
    }

    fn is_omitted(&self, descriptor: &Descriptor) -> bool {
        self.options.omitted.contains(&descriptor.digest)
    }
}

/// The manifest itself, or the host's manifest of an index.
fn runnable<'a>(
    document: &'a Document,
    stored: &'a HashMap<Digest, Document>,
) -> Option<&'a ImageManifest> {
    match document.parsed() {
        ParsedDocument::Manifest(manifest) => Some(manifest),
        ParsedDocument::Artifact(_) => None,
        ParsedDocument::Index(index) => {
            let host = Platform::host();
            let chosen = entries_for_platform(&host, &index.manifests).into_iter().next()?;
            stored.get(&chosen.digest)?.manifest().ok()
        }
    }
}

impl Lookup for OciTarget {
    fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        let found = self.0.state().named.get(name).map(|document| document.descriptor().clone());
        Box::pin(ready(Ok(found.into())))
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        let stored = self.0.state().stored.get(&descriptor.digest).cloned();
        let document = stored.filter(|document| document.descriptor().size == descriptor.size);
        let document = document.map(|document| document.bytes().clone());
        let blob = || self.0.open.get().and_then(|open| open.area.read(descriptor, limit));
        Box::pin(ready(Ok(document.or_else(blob).into())))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        let presence = match self.0.open.get() {
            _ if self.0.is_omitted(descriptor) => BlobPresence::Complete,
            Some(open) => open.area.presence(descriptor),
            None => BlobPresence::Absent,
        };
        Box::pin(ready(Ok(presence)))
    }
}

impl Target for OciTarget {
    fn properties(&self) -> TargetProperties {
        TargetProperties {
            atomic: true,
            sequential: self.0.is_sequential(),
            ..TargetProperties::default()
        }
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        Box::pin(async {
            self.0.assign_slots(plan).await?;
            Ok(Arc::clone(&self.0) as Arc<dyn TargetWriter>)
        })
    }
}

impl TargetWriter for OciArchive {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(self.open_blob(descriptor))
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.put_manifest(document, role))
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.finish())
    }
}

#[cfg(test)]
mod tests;
