//! A layout as something to read from.

use std::fs::{File, Metadata};
use std::future::ready;
use std::ops::Range;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::index::index_digest;
use super::origins::origins_of;
use super::{IndexEntry, Layout, blobs, io_error};
use crate::alike;
use crate::config::CONFIG_LIMIT;
use crate::content::{BlobStream, ByteStream, Source, SourceKind};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document, ParsedDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::{ImageName, choice, several_images};
use crate::platform::Platform;
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

    /// The file of a blob, whose bytes are not verified: it may be a link to any file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where it is not there.
    pub fn blob_file(&self, digest: &Digest) -> Result<File> {
        blobs::open(self.root(), digest)
    }

    /// As [`Layout::blob_file`], for bytes that others get without a look at them: a link is refused.
    pub fn own_blob_file(&self, digest: &Digest) -> Result<File> {
        blobs::open_own(self.root(), digest)
    }

    /// These bytes of a blob's file, not verified; fewer where it ends earlier.
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
                    several => alike::choose(several, &Platform::host(), &name.to_string())
                        .map(|one| Some(one.clone()))
                        .map_err(|error| error.at(self.0.place())),
                }
            }
            ImageName::Digest(digest) => match self.by_digest(digest) {
                Ok(document) => Ok(Some(document.descriptor().clone())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// The only entry, those left out that belong to it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::InvalidInput`] where there are several.
    pub fn only_entry(&self) -> Result<IndexEntry> {
        let mut entries = self.images()?;
        let place = self.0.place();
        // For several platforms under one name it is the only one.
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
                Err(several_images(&place, &choices))
            }
        }
    }

    /// Every image of this name, one for each platform.
    fn alike(&self, name: &ImageName) -> Result<Vec<Descriptor>> {
        let entries = match name {
            ImageName::Tag(text) | ImageName::Layout(text) => self.entries_of(text)?,
            ImageName::Only => {
                let sole = self.only_entry()?;
                match sole.names.first() {
                    Some(own) => self.entries_of(own)?,
                    None => vec![sole],
                }
            }
            ImageName::Digest(_) => return Ok(Vec::new()),
        };
        let entries = entries.into_iter().map(|entry| entry.descriptor).collect();
        let (alike, lost) = alike::meant(entries, |entry| self.platform_of(entry));
        if lost {
            let place = self.0.place();
            tracing::warn!("{place}: several images are called {name}; the last one is it");
        }
        Ok(alike)
    }

    /// What the config of a manifest says, where that can be read.
    fn platform_of(&self, manifest: &Descriptor) -> Option<Platform> {
        let document = self.read_document(manifest).ok()?;
        let config = &document.manifest().ok()?.config;
        let bytes = self.read_verified(config, CONFIG_LIMIT)?;
        alike::platform_in(config, &bytes)
    }

    /// Nothing but the bytes says what a document is that has only a digest.
    fn by_digest(&self, digest: &Digest) -> Result<Document> {
        let bytes = blobs::read(self.root(), digest, DOCUMENT_LIMIT)?;
        Document::from_response(bytes, &MediaType::from(""), Some(digest))
            .map_err(|error| error.at(self.0.place()))
    }

    /// The index of this digest, where it is there and lists the manifest: an annotation alone proves nothing.
    pub(super) fn index_listing(&self, index: &Digest, manifest: &Digest) -> Option<Document> {
        let document = self.by_digest(index).ok()?;
        let ParsedDocument::Index(view) = document.content() else { return None };
        let lists = view.manifests.iter().any(|entry| entry.digest == *manifest);
        lists.then_some(document)
    }

    pub(super) fn read_verified(&self, descriptor: &Descriptor, limit: u64) -> Option<Bytes> {
        let read = blobs::read(self.root(), &descriptor.digest, limit);
        read.ok().filter(|bytes| verify(descriptor, bytes).is_ok())
    }

    /// The document of this descriptor, verified.
    pub(super) fn read_document(&self, descriptor: &Descriptor) -> Result<Document> {
        let bytes = blobs::read(self.root(), &descriptor.digest, DOCUMENT_LIMIT)?;
        Document::from_descriptor(bytes, descriptor).map_err(|error| error.at(self.0.place()))
    }
}

impl Source for Layout {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(self.resolve(name)))
    }

    fn document<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(self.read_document(descriptor)))
    }

    fn head<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        Box::pin(ready(self.find(name)))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<BlobStream>> {
        let opened = self.blob_file(&descriptor.digest).and_then(|file| {
            // One byte more than there should be, so that a file that is too long does not pass.
            let range = from..descriptor.size.saturating_add(1);
            let stream = self.bytes_of(file, &descriptor.digest, range)?;
            Ok(BlobStream { start: from, stream })
        });
        Box::pin(ready(opened))
    }

    fn stat<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Descriptor>> {
        let size = blobs::open(self.root(), digest)
            .and_then(|file| file.metadata().map_err(|error| io_error("read", self.root(), error)));
        let described = |found: Metadata| {
            let media_type = MediaType::from("application/octet-stream");
            Descriptor::new(media_type, digest.clone(), found.len())
        };
        Box::pin(ready(size.map(described)))
    }

    fn at_hand<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
    ) -> BoxFuture<'a, Result<Option<Bytes>>> {
        Box::pin(ready(Ok(self.read_verified(descriptor, limit))))
    }

    fn referrers<'a>(&'a self, subject: &'a Digest) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        Box::pin(ready(self.referrers_of(subject)))
    }

    fn alike<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        Box::pin(ready(self.alike(name)))
    }

    fn origins(&self, document: &Document) -> Vec<String> {
        origins_of(document.descriptor())
    }

    fn chosen_from<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Option<Document>> {
        let index = index_digest(document.descriptor());
        Box::pin(ready(index.and_then(|index| self.index_listing(&index, document.digest()))))
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Layout
    }

    fn location(&self) -> String {
        self.0.place()
    }
}
