//! [`Source`] for an archive.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::blob_span::BlobSpan;
use super::docker::{ConvertedImage, DockerImage};
use super::image::{ArchiveImage, ImageContent};
use super::oci;
use super::reader::{Archive, ArchiveInner};
use super::small_file::unusable;
use super::tarball::EntryError;
use crate::blocking::run_cancellable;
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, Lookup, Presence, Source, over_limit,
    reader_stream,
};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::ImageName;
use crate::progress::Phase;
use crate::verifier::verify;

impl ArchiveInner {
    fn docker_images(&self) -> impl Iterator<Item = &DockerImage> {
        self.images.iter().filter_map(|image| match &image.content {
            ImageContent::DockerFiles(docker_image) => Some(docker_image),
            ImageContent::Document(_) => None,
        })
    }

    /// Whether the archive has the blob. Blobs of a docker image count once it was converted.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.size_of(digest).is_some()
    }

    fn size_of(&self, digest: &Digest) -> Option<u64> {
        let file = oci::name_of(digest).ok().and_then(|name| self.tar.find(&name).ok());
        let built = || self.docker_images().filter_map(DockerImage::built);
        file.map(|span| span.end - span.start)
            .or_else(|| built().find_map(|built| Some(built.blobs.get(digest)?.size)))
    }

    /// Looks the blob up without reading it.
    fn presence(&self, descriptor: &Descriptor) -> BlobPresence {
        match self.size_of(&descriptor.digest) {
            Some(size) if size == descriptor.size => BlobPresence::Complete,
            None if self.docker_images().all(|docker_image| docker_image.built().is_some()) => {
                BlobPresence::Absent
            }
            // A blob of another size is examined when it is read.
            _ => BlobPresence::Unknown,
        }
    }

    /// Searches the docker images with `look`, unconverted ones last.
    fn find_in_converted<T>(
        &self,
        search: impl Fn(&ConvertedImage) -> Option<T>,
        control: &Control,
    ) -> Result<Option<T>> {
        if let Some(found) = self.docker_images().filter_map(DockerImage::built).find_map(&search) {
            return Ok(Some(found));
        }
        // A broken image must not hide the content of the others.
        let mut broken = None;
        for docker_image in self.docker_images() {
            match docker_image.build(&self.tar, control) {
                Ok(built) => {
                    if let Some(found) = search(built) {
                        return Ok(Some(found));
                    }
                }
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        broken.map_or(Ok(None), Err)
    }

    /// Locates the blob with this digest.
    fn locate(&self, digest: &Digest, control: &Control) -> Result<BlobSpan> {
        let name = oci::name_of(digest)?;
        if let Some(span) =
            self.find_in_converted(|built| built.blobs.get(digest).cloned(), control)?
        {
            return Ok(span);
        }
        match self.tar.find(&name) {
            Ok(span) => Ok(BlobSpan::plain(span)),
            Err(EntryError::Missing) => {
                Err(Error::new(ErrorKind::NotFound, format!("blob {digest}"))
                    .with_reason("not in the archive"))
            }
            Err(EntryError::Unusable(reason)) => Err(unusable(&name, reason)),
        }
        .map_err(|error| error.at(self.location()))
    }

    pub(super) fn bytes(&self, digest: &Digest, limit: u64, control: &Control) -> Result<Bytes> {
        let span = self.locate(digest, control)?;
        if span.size > limit {
            return Err(over_limit(digest, limit).at(self.location()));
        }
        let mut bytes = Vec::new();
        let read = span
            .read(&self.tar, 0, limit, control)
            .and_then(|mut read| read.read_to_end(&mut bytes));
        read.map_err(|error| {
            Error::new(ErrorKind::Store, "read the archive").at(self.location()).with_source(error)
        })?;
        Ok(bytes.into())
    }

    /// The bytes of a document or small blob, verified.
    fn read_verified(
        &self,
        descriptor: &Descriptor,
        limit: u64,
        control: &Control,
    ) -> Result<Bytes> {
        let bytes = match self.built(&descriptor.digest, control)? {
            Some(document) => document.bytes().clone(),
            None => self.bytes(&descriptor.digest, limit, control)?,
        };
        verify(descriptor, &bytes).map_err(|error| error.at(self.location()))?;
        Ok(bytes)
    }

    /// The document of this descriptor, verified.
    pub(super) fn read_document(
        &self,
        descriptor: &Descriptor,
        control: &Control,
    ) -> Result<Document> {
        let bytes = self.read_verified(descriptor, DOCUMENT_LIMIT, control)?;
        Document::from_descriptor(bytes, descriptor).map_err(|error| error.at(self.location()))
    }

    /// A converted manifest, by its digest.
    fn built(&self, digest: &Digest, control: &Control) -> Result<Option<Document>> {
        let is_it = |built: &ConvertedImage| {
            Some(&built.document).filter(|own| own.digest() == digest).cloned()
        };
        self.find_in_converted(is_it, control)
    }

    fn by_digest(&self, digest: &Digest, control: &Control) -> Result<Document> {
        if let Some(document) = self.built(digest, control)? {
            return Ok(document);
        }
        let bytes = self.bytes(digest, DOCUMENT_LIMIT, control);
        let read = bytes.and_then(|bytes| {
            Document::from_response(bytes, &MediaType::from(""), Some(digest))
                .map_err(|error| error.at(self.location()))
        });
        match read {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidDocument) =>
            {
                self.by_config(digest, control)?.ok_or(error)
            }
            read => read,
        }
    }

    /// The manifest whose config has this digest, docker's image id.
    fn by_config(&self, config: &Digest, control: &Control) -> Result<Option<Document>> {
        let is_it = |document: &Document| {
            document.manifest().is_ok_and(|manifest| manifest.config.digest == *config)
        };
        let of_files =
            |built: &ConvertedImage| Some(&built.document).filter(|one| is_it(one)).cloned();
        if let Some(found) = self.find_in_converted(of_files, control)? {
            return Ok(Some(found));
        }
        for image in &self.images {
            let ImageContent::Document(entry) = &image.content else { continue };
            // A broken image must not hide the content of the others.
            let Ok(root) = self.read_document(entry, control) else { continue };
            if is_it(&root) {
                return Ok(Some(root));
            }
            let mut children =
                root.children().filter_map(|child| self.read_document(child, control).ok());
            if let Some(found) = children.find(is_it) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find(&self, name: &ImageName, control: &Control) -> Result<Option<&ArchiveImage>> {
        match name {
            ImageName::Tag(text) | ImageName::Layout(text) => self.image_named(text, control),
            ImageName::Only => {
                let sole = self.only_image(control)?;
                sole.own_names()
                    .first()
                    .map_or(Ok(Some(sole)), |own| self.image_named(own, control))
            }
            ImageName::Digest(_) => Ok(None),
        }
    }

    fn resolve(&self, name: &ImageName, control: &Control) -> Result<Document> {
        if let ImageName::Digest(digest) = name {
            return self.by_digest(digest, control);
        }
        let image = self.find(name, control)?.ok_or_else(|| self.not_found(&name.to_string()))?;
        self.document_of(image, control).map_err(|error| error.at(self.location()))
    }
}

impl Archive {
    /// Size of the blob with this digest. A compressed one may have to be read to learn it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the archive does not have it.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<Descriptor> {
        let digest = digest.clone();
        self.search(move |inner, control| {
            let size = inner.locate(&digest, control)?.size;
            Ok(Descriptor::new("application/octet-stream".into(), digest, size))
        })
        .await
    }

    /// The digest of each image without a name, in order, or an error if it cannot be read. Artifacts attached to other
    /// images are omitted.
    pub async fn nameless(&self) -> Result<Vec<Result<Digest>>> {
        self.search(|inner, control| {
            let nameless = inner.images.iter().filter(|image| image.own_names().is_empty());
            let alone = inner.images.len() == 1;
            let images = nameless.filter(|image| alone || !inner.is_attached(image, control));
            let digest = |image| Ok(inner.document_of(image, control)?.digest().clone());
            Ok(images.map(digest).collect())
        })
        .await
    }

    /// Runs `work` on a blocking thread: a compressed layer is read to its end to learn its size. Dropping the future
    /// stops it, and so does the control that the archive was opened with.
    async fn search<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ArchiveInner, &Control) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (inner, what) = (Arc::clone(&self.0), Phase::Scan.what());
        let search = move |control: &Control| {
            work(&inner, control).map_err(|error| control.interrupted_or(what, error))
        };
        run_cancellable(&self.0.control, what, search).await
    }
}

impl Lookup for Archive {
    fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        let name = name.clone();
        Box::pin(self.search(move |inner, control| {
            let document = inner.resolve(&name, control);
            Presence::from_result(document.map(|document| document.descriptor().clone()))
        }))
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        let descriptor = descriptor.clone();
        Box::pin(self.search(move |inner, control| {
            Presence::from_result(inner.read_verified(&descriptor, limit, control))
        }))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(async { Ok(self.0.presence(descriptor)) })
    }
}

impl Source for Archive {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        let name = name.clone();
        Box::pin(self.search(move |inner, control| inner.resolve(&name, control)))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        let (digest, range) = (request.descriptor.digest.clone(), request.range_to_read());
        Box::pin(self.search(move |inner, control| {
            let span = inner.locate(&digest, control)?;
            let length = range.end.saturating_sub(range.start);
            let reader = span.read(&inner.tar, range.start, length, control).map_err(|error| {
                Error::new(ErrorKind::Store, "read the archive")
                    .at(inner.location())
                    .with_source(error)
            })?;
            let location = inner.location().to_owned();
            let stream = reader_stream(reader, move |error| {
                Error::new(ErrorKind::Store, "read the archive").at(&location).with_source(error)
            });
            Ok(BlobStream::new(range.start, stream))
        }))
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        let subject = subject.clone();
        Box::pin(self.search(move |inner, control| {
            Ok(Presence::Present(inner.referrers_of(&subject, control)?))
        }))
    }

    fn platform_entries<'a>(
        &'a self,
        name: &'a ImageName,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        let name = name.clone();
        Box::pin(self.search(move |inner, control| {
            let own = match &name {
                ImageName::Tag(text) | ImageName::Layout(text) => Some(text),
                ImageName::Only => inner.only_image(control)?.own_names().first(),
                ImageName::Digest(_) => None,
            };
            let entries = match own {
                Some(own) => inner.candidates(own, &inner.images_named(own)?, control)?,
                None => Vec::new(),
            };
            Ok(Presence::Present(entries))
        }))
    }
}
