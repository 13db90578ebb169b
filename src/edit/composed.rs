//! An image of new documents, new layers, and blobs of other images: a source like any other.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::layer_file::NewLayer;
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, Lookup, Presence, Provenance,
    RateLimit, RequestCounts, Source,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::Memory;
use crate::name::ImageName;

/// An image that was edited. Its only name is [`ImageName::Only`], and its digest is one too.
pub struct EditedImage {
    endpoint: Endpoint,
    document: Document,
    /// New documents and configs.
    content: Memory,
    layers: HashMap<Digest, NewLayer>,
    /// The image that was edited.
    base: Option<(Arc<dyn Source>, Document)>,
    /// Sources of content that is neither new nor in the base.
    owners: HashMap<Digest, Arc<dyn Source>>,
}

impl std::fmt::Debug for EditedImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EditedImage").field("document", &self.document).finish_non_exhaustive()
    }
}

impl EditedImage {
    pub(super) fn new(
        document: Document,
        content: Memory,
        layers: Vec<NewLayer>,
        base: Option<(Arc<dyn Source>, Document)>,
        owners: HashMap<Digest, Arc<dyn Source>>,
    ) -> Self {
        let first = base.as_ref().map(|(source, _)| source).or(owners.values().next());
        let endpoint = first.map(|source| source.endpoint());
        // It is not the endpoint of the base: what is new is not there.
        let endpoint = endpoint.map_or_else(
            || content.endpoint().clone(),
            |base| Endpoint {
                location: base.location.clone(),
                kind: base.kind,
                dir: base.dir.clone(),
                connections: base.connections,
                ..Endpoint::default()
            },
        );
        let layers = layers.into_iter().map(|layer| (layer.digest().clone(), layer)).collect();
        Self { endpoint, document, content, layers, base, owners }
    }

    /// The new manifest or index.
    pub fn document(&self) -> &Document {
        &self.document
    }

    fn is_root(&self, name: &ImageName) -> bool {
        match name {
            ImageName::Only => true,
            ImageName::Digest(digest) => digest == self.document.digest(),
            ImageName::Tag(_) | ImageName::Layout(_) => false,
        }
    }

    /// The source of content that is not new.
    fn owner(&self, digest: &Digest) -> Result<&Arc<dyn Source>> {
        let base = || self.base.as_ref().map(|(source, _)| source);
        self.owners.get(digest).or_else(base).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("blob {digest}"))
                .at(&self.endpoint.location)
                .with_reason("not found")
        })
    }
}

impl Lookup for EditedImage {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        let found = self.is_root(name).then(|| self.document.descriptor().clone());
        Box::pin(std::future::ready(Ok(found.into())))
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(async move {
            if descriptor.digest == *self.document.digest() {
                return Ok(Presence::Present(self.document.bytes().clone()));
            }
            match self.content.read(descriptor, limit, effort).await? {
                Presence::Absent => {}
                found => return Ok(found),
            }
            match self.owner(&descriptor.digest) {
                Ok(owner) => owner.read(descriptor, limit, effort).await,
                Err(_) => Ok(Presence::Absent),
            }
        })
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        effort: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(async move {
            let is_new = self.layers.contains_key(&descriptor.digest)
                || self.content.bytes(&descriptor.digest).is_some();
            match self.owner(&descriptor.digest) {
                _ if is_new => Ok(BlobPresence::Complete),
                Ok(owner) => owner.blob(descriptor, effort).await,
                Err(_) => Ok(BlobPresence::Absent),
            }
        })
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        self.base.as_ref().and_then(|(source, _)| source.rate_limit())
    }

    fn requests(&self) -> RequestCounts {
        self.base.as_ref().map(|(source, _)| source.requests()).unwrap_or_default()
    }
}

impl Source for EditedImage {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(async move {
            if self.is_root(name) {
                return Ok(self.document.clone());
            }
            match name {
                ImageName::Digest(digest) => match self.content.document(digest) {
                    Some(document) => Ok(document),
                    None => self.owner(digest)?.resolve(name).await,
                },
                _ => Err(Error::new(ErrorKind::NotFound, name.to_string())
                    .at(&self.endpoint.location)
                    .with_reason("not found")),
            }
        })
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        let digest = &request.descriptor.digest;
        if let Some(layer) = self.layers.get(digest) {
            return layer.blob.open(&request);
        }
        if self.content.bytes(digest).is_some() {
            return self.content.open_blob(request);
        }
        match self.owner(digest) {
            Ok(owner) => owner.open_blob(request),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn provenance<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Provenance> {
        Box::pin(async move {
            // They have blobs of the image, and nothing that is new.
            let mut mount_sources = match &self.base {
                Some((source, base)) => {
                    let is_root = document.digest() == self.document.digest();
                    source.provenance(if is_root { base } else { document }).await.repositories
                }
                None => Vec::new(),
            };
            let owners = self.owners.values();
            mount_sources.extend(owners.filter_map(|owner| owner.endpoint().address.clone()));
            mount_sources.sort_unstable();
            mount_sources.dedup();
            Provenance { mount_sources, ..Provenance::default() }
        })
    }
}
