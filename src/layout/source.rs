//! A layout as a source.

use std::fs::File;
use std::ops::Range;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::entry::index_digest;
use super::origins::origins_of;
use super::{IndexEntry, Layout, blobs, io_error};
use crate::config::CONFIG_LIMIT;
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, ByteStream, Effort, Endpoint, Lookup, Presence,
    Provenance, Source,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::{ImageName, choice, several_images};
use crate::platform::Platform;
use crate::same_name;
use crate::verifier::verify;

impl Layout {
    pub(super) fn resolve(&self, name: &ImageName) -> Result<Document> {
        match name {
            ImageName::Digest(digest) => self.by_digest(digest),
            _ => self.read_document(
                &self.find(name)?.ok_or_else(|| self.0.not_found(&name.to_string()))?,
            ),
        }
    }

    /// Opens a blob without verifying it. It may be a symbolic link to any file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is missing.
    pub fn blob_file(&self, digest: &Digest) -> Result<File> {
        blobs::open(self.root(), digest).map_err(damaged)
    }

    /// Like [`Layout::blob_file`], but refuses symbolic links, for bytes that are passed on unverified.
    pub fn own_blob_file(&self, digest: &Digest) -> Result<File> {
        blobs::open_own(self.root(), digest)
    }

    /// Streams a range of a blob's file, not verified. Ends early if the file does.
    pub fn bytes_of(
        &self,
        file: File,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<ByteStream<'static>> {
        Ok(blobs::stream(file, blobs::blob_path(self.root(), digest)?, range))
    }

    fn find(&self, name: &ImageName) -> Result<Option<Descriptor>> {
        match name {
            ImageName::Tag(_) | ImageName::Layout(_) | ImageName::Only => {
                match self.alike(name)?.as_slice() {
                    [] => Ok(None),
                    several => same_name::select(several, &Platform::host(), &name.to_string())
                        .map(|one| Some(one.clone()))
                        .map_err(|error| error.at(self.0.location())),
                }
            }
            ImageName::Digest(digest) => match self.by_digest(digest) {
                Ok(document) => Ok(Some(document.descriptor().clone())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// The only entry, not counting referrers and the like that belong to it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the layout has no entry, [`ErrorKind::InvalidInput`] if it has several.
    pub fn only_entry(&self) -> Result<IndexEntry> {
        let mut entries = self.images()?;
        let place = self.0.location();
        // Several platforms under one name count as one entry.
        if let Some(first) = entries.first().filter(|entry| !entry.names.is_empty()).cloned()
            && entries.iter().all(|entry| entry.names == first.names)
        {
            return Ok(first);
        }
        match (entries.pop(), entries.len()) {
            (Some(entry), 0) => Ok(entry),
            (None, _) => Err(Error::new(ErrorKind::NotFound, "image")
                .at(place)
                .with_reason("the layout is empty")),
            (Some(last), _) => {
                entries.push(last);
                let choice = |entry: &IndexEntry| choice(&entry.names, &entry.descriptor.digest);
                let choices: Vec<String> = entries.iter().map(choice).collect();
                Err(several_images(place, &choices))
            }
        }
    }

    /// Every image with this name, one per platform.
    fn alike(&self, name: &ImageName) -> Result<Vec<Descriptor>> {
        let (name, entries) = match name {
            ImageName::Tag(text) | ImageName::Layout(text) => {
                (text.clone(), self.entries_of(text)?)
            }
            ImageName::Only => {
                let sole = self.only_entry()?;
                match sole.names.first().cloned() {
                    Some(own) => {
                        let entries = self.entries_of(&own)?;
                        (own, entries)
                    }
                    None => return Ok(vec![sole.descriptor]),
                }
            }
            ImageName::Digest(_) => return Ok(Vec::new()),
        };
        let entries = entries.into_iter().map(|entry| entry.descriptor).collect();
        let platform_of = |entry: &_| self.platform_of(entry);
        same_name::effective_entries(entries, platform_of, &name, self.0.location())
    }

    /// The platform in the config of a manifest, if the config can be read.
    fn platform_of(&self, manifest: &Descriptor) -> Option<Platform> {
        let document = self.read_document(manifest).ok()?;
        let config = &document.manifest().ok()?.config;
        let bytes = self.read_verified(config, CONFIG_LIMIT).ok()?;
        same_name::platform_of_config(config, &bytes)
    }

    /// If only the digest is known, the type of a document follows from its bytes.
    fn by_digest(&self, digest: &Digest) -> Result<Document> {
        let bytes = blobs::read(self.root(), digest, DOCUMENT_LIMIT)?;
        Document::from_response(bytes, &MediaType::from(""), Some(digest))
            .map_err(|error| error.at(self.0.location()))
    }

    /// The index with this digest, if it exists and lists the manifest: an annotation alone proves nothing.
    pub(super) fn index_listing(&self, index: &Digest, manifest: &Digest) -> Option<Document> {
        let document = self.by_digest(index).ok()?;
        let lists = document.entries().iter().any(|entry| entry.digest == *manifest);
        lists.then_some(document)
    }

    /// The bytes of a small blob, verified.
    pub(super) fn read_verified(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes> {
        let bytes = blobs::read(self.root(), &descriptor.digest, limit)?;
        verify(descriptor, &bytes).map_err(|error| error.at(self.0.location()))?;
        Ok(bytes)
    }

    /// Size of the blob with this digest. Its bytes are not read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is missing.
    pub fn stat_blob(&self, digest: &Digest) -> Result<Descriptor> {
        let found = blobs::open(self.root(), digest)?.metadata();
        let size = found.map_err(|error| io_error("read", self.root(), error))?.len();
        Ok(Descriptor::new(MediaType::from("application/octet-stream"), digest.clone(), size))
    }

    /// The document of this descriptor, verified.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is missing.
    pub fn read_document(&self, descriptor: &Descriptor) -> Result<Document> {
        let bytes = blobs::read(self.root(), &descriptor.digest, DOCUMENT_LIMIT)?;
        Document::from_descriptor(bytes, descriptor)
            .map_err(|error| damaged(error.at(self.0.location())))
    }

    /// Checks that a blob which an image needs exists in its size. Its bytes are not read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is missing, [`ErrorKind::Mismatch`] if it has another size.
    #[cfg(feature = "cli")]
    pub(crate) fn check_blob(&self, blob: &Descriptor) -> Result<()> {
        let found = self.blob_file(&blob.digest)?.metadata();
        let length = found.map_err(|error| io_error("read", self.root(), error))?.len();
        if length == blob.size {
            return Ok(());
        }
        let reason = format!("is corrupt: expected {} bytes, got {length}", blob.size);
        let error = Error::new(ErrorKind::Mismatch, format!("blob {}", blob.digest));
        Err(damaged(error.at(self.0.location()).with_reason(reason)))
    }
}

/// Adds that a blob which an image needs can be repaired.
fn damaged(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Mismatch => error.with_detail(ErrorDetail::DamagedBlob),
        _ => error,
    }
}

impl Lookup for Layout {
    fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        Box::pin(async {
            match self.find(name) {
                // Of several images, a target replaces all, and `resolve` of a source says which there are.
                Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(Presence::Unknown),
                found => Ok(found?.into()),
            }
        })
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(async move { Presence::from_result(self.read_verified(descriptor, limit)) })
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(async { self.0.presence(descriptor) })
    }
}

impl Source for Layout {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(async { self.resolve(name) })
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(async move {
            let digest = &request.descriptor.digest;
            let file = self.blob_file(digest)?;
            let stream = self.bytes_of(file, digest, request.range_to_read())?;
            Ok(BlobStream::new(request.range.start, stream))
        })
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        Box::pin(async { Ok(Presence::Present(self.referrers_of(subject)?)) })
    }

    fn provenance<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Provenance> {
        Box::pin(async {
            let index = index_digest(document.descriptor());
            Provenance {
                repositories: origins_of(document.descriptor()),
                parent_index: index.and_then(|index| self.index_listing(&index, document.digest())),
                ..Provenance::default()
            }
        })
    }

    fn platform_entries<'a>(
        &'a self,
        name: &'a ImageName,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        Box::pin(async { Ok(Presence::Present(self.alike(name)?)) })
    }
}
