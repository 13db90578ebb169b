//! [`Target`] for archives in docker's own format.
//!
//! Blobs are written to an unnamed file. When all are verified, the layers are written uncompressed into the archive,
//! each under its `diff_id`: only then are their sizes known, which a tar states before the bytes.
//!
//! An archive is written in one run, which accepts blobs in any order. It holds images of one platform, and no
//! artifacts.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::future::ready;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::archive_file::{ArchiveFile, io_error};
use super::blob_area::BlobArea;
use super::docker;
use super::docker_manifest::{DockerManifest, config_name, layer_name};
use super::header::{END, header};
use super::image_names::ImageNames;
use super::options::WriteOptions;
use super::single_run::SingleRun;
use super::sink::ArchiveSink;
use super::tarball::BLOCK;
use crate::blocking::run_cancellable;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{
    BlobPresence, Effort, Endpoint, EndpointKind, Lookup, OpenBlobOptions, Opened, Presence, Role,
    Target, TargetPlan, TargetProperties, TargetWriter, check_content,
};
use crate::control::{Control, CountedReader, PhaseCounter};
use crate::descriptor::Descriptor;
use crate::digest::{Digest, Hasher};
use crate::document::{Document, ImageManifest, ParsedDocument};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::layer::{Compression, decompress, is_unsupported, needs_higher_window_limit};
use crate::limits::BUFFER_SIZE;
use crate::name::ImageName;
use crate::progress::Phase;
use crate::size::size;
use crate::symlinks::parent_dir;

pub(super) struct DockerTarget(Arc<DockerTargetInner>);

struct DockerTargetInner {
    endpoint: Endpoint,
    path: PathBuf,
    options: WriteOptions,
    area: OnceLock<BlobArea>,
    named: Mutex<ImageNames>,
    run: SingleRun,
}

impl DockerTarget {
    pub(super) fn new(path: PathBuf, options: WriteOptions) -> Self {
        let location = format!("docker-archive:{}", path.display());
        let endpoint = Endpoint { location, kind: EndpointKind::Archive, ..Endpoint::default() };
        Self(Arc::new(DockerTargetInner {
            endpoint,
            path,
            options,
            area: OnceLock::new(),
            named: Mutex::default(),
            run: SingleRun::default(),
        }))
    }
}

impl DockerTargetInner {
    fn named(&self) -> MutexGuard<'_, ImageNames> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn location(&self) -> &str {
        &self.endpoint.location
    }

    fn area(&self) -> Result<&BlobArea> {
        if let Some(area) = self.area.get() {
            return Ok(area);
        }
        let io_failure = |error| io_error("write", &self.path, error);
        let file = tempfile::tempfile_in(parent_dir(&self.path)).map_err(io_failure)?;
        Ok(self.area.get_or_init(|| BlobArea::new(ArchiveSink::file(file, self.path.clone()))))
    }

    /// Rejects documents that docker's format cannot hold.
    fn check(&self, document: &Document) -> Result<()> {
        let unsupported = |reason: String| {
            Err(Error::new(ErrorKind::Unsupported, "image").at(self.location()).with_reason(reason))
        };
        match document.parsed() {
            ParsedDocument::Index(_) => {
                unsupported("a docker-archive can hold only one platform of an image".to_owned())
            }
            ParsedDocument::Manifest(manifest) if !manifest.config.media_type.is_image_config() => {
                let kind = &manifest.config.media_type;
                unsupported(format!("docker archives cannot hold artifacts (config type `{kind}`)"))
            }
            ParsedDocument::Artifact(_) => {
                unsupported("docker archives cannot hold artifact manifests".to_owned())
            }
            ParsedDocument::Manifest(_) => Ok(()),
        }
    }

    /// Checks whether the archive can be written, before anything is fetched.
    fn begin(&self, plan: &TargetPlan<'_>) -> Result<()> {
        self.run.begin(self.location())?;
        plan.named_documents().into_iter().try_for_each(|document| self.check(document))?;
        ArchiveFile::create(&self.path).map(drop)
    }

    fn put(&self, document: &Document, role: Role<'_>) -> Result<()> {
        let location = self.location();
        self.run.check(location)?;
        self.check(document)?;
        check_content(document, location, |content| {
            let slot = self.area.get().and_then(|area| area.slot(&content.digest));
            Ok(slot.is_some_and(|slot| slot.is_complete()))
        })?;
        let mut named = self.named();
        match role {
            Role::Child => Ok(()),
            Role::Root { names, .. } => {
                named.count();
                named.add(document, names, location)
            }
            Role::Attached { names, .. } => named.add(document, names, location),
        }
    }

    /// Writes the archive from the collected blobs.
    fn write_archive(&self, control: &Control) -> Result<()> {
        let named = self.named();
        named.check(self.options.expected_images, self.location())?;
        let archive_file = ArchiveFile::create(&self.path)?;
        let counter = PhaseCounter::new(control, Phase::Pack, layer_bytes(&named)?);
        let mut tar = TarWriter {
            file: archive_file.file(),
            at: 0,
            names: HashSet::new(),
            of: self,
            counter: &counter,
        };
        let mut items = DockerManifest::default();
        for (name, document) in named.iter() {
            let manifest = document.manifest()?;
            let layers = self.layers(manifest, &mut tar)?;
            let config = config_name(&manifest.config.digest);
            if tar.names.insert(config.clone()) {
                tar.entry(&config, &self.config(manifest)?)?;
            }
            items.add(name, config, layers);
        }
        tar.entry(docker::MANIFEST, &items.json())?;
        tar.write(&END)?;
        control.check(Phase::Pack.what())?;
        archive_file.publish(self.options.sync)
    }

    fn config(&self, manifest: &ImageManifest) -> Result<Bytes> {
        self.area()?.read(&manifest.config, CONFIG_LIMIT).ok_or_else(|| {
            Error::new(ErrorKind::InvalidDocument, format!("config {}", manifest.config.digest))
                .with_reason(format!("missing, or larger than {}", size(CONFIG_LIMIT)))
        })
    }

    /// Writes the layers of an image. Returns their names in the archive.
    fn layers(&self, manifest: &ImageManifest, tar: &mut TarWriter<'_>) -> Result<Vec<String>> {
        let config = ImageConfig::parse(&self.config(manifest)?)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            let reason =
                format!("{} layers, but {} diff_ids", manifest.layers.len(), diff_ids.len());
            return Err(Error::new(
                ErrorKind::InvalidDocument,
                format!("config {}", manifest.config.digest),
            )
            .with_reason(reason));
        }
        let mut names = Vec::new();
        for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let name = layer_name(diff_id);
            if tar.names.insert(name.clone()) {
                tar.layer(&name, layer, diff_id)?;
            }
            names.push(name);
        }
        Ok(names)
    }
}

/// Total size of the layers, each once.
fn layer_bytes(named: &ImageNames) -> Result<u64> {
    let mut sizes = HashMap::new();
    for (_, document) in named.iter() {
        sizes.extend(document.manifest()?.layers.iter().map(|one| (&one.digest, one.size)));
    }
    Ok(sizes.into_values().fold(0, u64::saturating_add))
}

/// Writes the entries of the archive.
struct TarWriter<'a> {
    file: &'a File,
    at: u64,
    names: HashSet<String>,
    of: &'a DockerTargetInner,
    /// Of what is read of the layers.
    counter: &'a PhaseCounter,
}

impl TarWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let io_failure = |error| io_error("write", &self.of.path, error);
        self.file.write_all_at(bytes, self.at).map_err(io_failure)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn entry(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write(&header(name, bytes.len() as u64, self.of.options.modified))?;
        self.write(bytes)?;
        self.at = self.at.next_multiple_of(BLOCK);
        Ok(())
    }

    /// Writes the layer uncompressed and verified against its `diff_id`. The header is written last.
    fn layer(&mut self, name: &str, layer: &Descriptor, diff_id: &Digest) -> Result<()> {
        let what = || Error::new(ErrorKind::Mismatch, format!("layer {}", layer.digest));
        let slot = self.of.area()?.slot(&layer.digest).filter(|slot| slot.is_complete());
        let slot = slot.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("layer {}", layer.digest))
                .with_reason("is missing")
                .with_hint("include foreign layers with `--foreign-layers`")
        })?;
        let modified = self.of.options.modified;
        let head = self.at;
        self.at += header(name, 0, modified).len() as u64;
        let start = self.at;
        let compressed = SlotReader { area: self.of.area()?, at: slot.start(), left: slot.size };
        let compressed = CountedReader::new(compressed, self.counter);
        let io_failure = |error: io::Error| {
            if is_unsupported(&error) {
                return Error::new(ErrorKind::Unsupported, format!("layer {}", layer.digest))
                    .with_detail(
                        needs_higher_window_limit(&error).then_some(ErrorDetail::ZstdWindow),
                    )
                    .with_reason(error.to_string());
            }
            what().with_source(error)
        };
        let mut decompressed = decompress_layer(compressed).map_err(io_failure)?;
        let mut hasher = Hasher::new(diff_id.algorithm()?);
        let mut buf = vec![0; BUFFER_SIZE];
        loop {
            let read = decompressed.read(&mut buf).map_err(io_failure)?;
            let Some(buf) = buf.get(..read).filter(|buf| !buf.is_empty()) else { break };
            self.counter.add(0)?;
            hasher.update(buf);
            self.write(buf)?;
        }
        let found = hasher.finish();
        if found != *diff_id {
            return Err(
                what().with_reason(format!("diff_id mismatch: expected {diff_id}, got {found}"))
            );
        }
        let header = header(name, self.at - start, modified);
        let written = self.file.write_all_at(&header, head);
        written.map_err(|error| io_error("write", &self.of.path, error))?;
        self.at = self.at.next_multiple_of(BLOCK);
        Ok(())
    }
}

/// Decompresses a layer, detected by its first bytes.
fn decompress_layer<'a>(mut layer: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut start = Vec::new();
    layer.by_ref().take(Compression::DETECT_LEN as u64).read_to_end(&mut start)?;
    let unsupported = |format| io::Error::new(io::ErrorKind::Unsupported, format!("{format}"));
    let compression = Compression::detect(&start).map_err(unsupported)?;
    decompress(compression, io::Cursor::new(start).chain(layer))
}

/// Reads a collected blob.
struct SlotReader<'a> {
    area: &'a BlobArea,
    at: u64,
    left: u64,
}

impl Read for SlotReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..most).unwrap_or_default();
        let read = self.area.sink.read_at(into, self.at).map_err(io::Error::other)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Lookup for DockerTarget {
    fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        let found = self.0.named().get(name).map(|document| document.descriptor().clone());
        Box::pin(ready(Ok(found.into())))
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        let digest = ImageName::Digest(descriptor.digest.clone());
        let document = self.0.named().get(&digest).map(|document| document.bytes().clone());
        let blob = || self.0.area.get().and_then(|area| area.read(descriptor, limit));
        Box::pin(ready(Ok(document.or_else(blob).into())))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        let holds = |area: &BlobArea| area.presence(descriptor);
        Box::pin(ready(Ok(self.0.area.get().map_or(BlobPresence::Absent, holds))))
    }
}

impl Target for DockerTarget {
    fn properties(&self) -> TargetProperties {
        TargetProperties { atomic: true, ..TargetProperties::default() }
    }

    fn check_document(&self, document: &Document) -> Result<()> {
        self.0.check(document)
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        Box::pin(async {
            self.0.begin(plan)?;
            Ok(Arc::new(DockerWriter(Arc::clone(&self.0))) as Arc<dyn TargetWriter>)
        })
    }
}

/// The single run of writing to the archive.
struct DockerWriter(Arc<DockerTargetInner>);

impl TargetWriter for DockerWriter {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            self.0.run.check(self.0.location())?;
            descriptor.digest.algorithm()?;
            self.0.area()?.open(descriptor, Vec::new()).await
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.0.put(document, role) })
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.0.run.finish(self.0.location())?;
            let inner = Arc::clone(&self.0);
            let write = move |control: &Control| {
                let written = inner.write_archive(control);
                written.map_err(|error| control.interrupted_or(Phase::Pack.what(), error))
            };
            run_cancellable(&self.0.options.control, Phase::Pack.what(), write).await
        })
    }
}
