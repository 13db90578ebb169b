//! [`Source`] for containerd's root.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};

use super::root::Root;
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, Lookup, Presence, Source,
    UnpackedLayer, over_limit, reader_stream,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::engine_store::store::{EngineStore, full_name_among, presence};
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;
use crate::verifier::verify;

/// containerd's root, usually `/var/lib/containerd`, as it was when it was opened.
///
/// Blobs have the bytes that were pulled. An engine keeps only what it needs, so an index may lack manifests and a manifest
/// may lack layers.
#[derive(Clone, Debug)]
pub struct ContainerdRoot(Arc<Root>);

impl ContainerdRoot {
    /// Opens a root. Reads the names of its images; without its database, all manifests.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the directory does not exist, [`ErrorKind::Store`] if it is no root of containerd or
    /// cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        Root::open(path).map(|root| Self(Arc::new(root)))
    }

    pub(super) fn root(&self) -> &Root {
        &self.0
    }

    fn find(&self, name: &ImageName) -> Result<Document> {
        let digest = self.0.find(name)?;
        let found = self.0.document(&digest)?;
        found.ok_or_else(|| self.0.not_found(&format!("manifest {digest}")))
    }

    fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        let Some(file) = self.0.blob(digest)? else { return Ok(None) };
        let found = file.metadata().map_err(|error| self.failed(digest, error))?;
        Ok(Some(found.len()))
    }

    fn failed(&self, digest: &Digest, error: std::io::Error) -> Error {
        Error::new(ErrorKind::Store, format!("blob {digest}"))
            .at(&self.0.endpoint.location)
            .with_source(error)
    }

    fn open_at(&self, request: &BlobRequest<'_>) -> Result<BlobStream> {
        let digest = &request.descriptor.digest;
        let range = request.range_to_read();
        let mut file =
            self.0.blob(digest)?.ok_or_else(|| self.0.not_found(&format!("blob {digest}")))?;
        file.seek(SeekFrom::Start(range.start)).map_err(|error| self.failed(digest, error))?;
        let reader = Box::new(file.take(range.end.saturating_sub(range.start)));
        let (own, digest) = (self.clone(), digest.clone());
        let stream = reader_stream(reader, move |error| own.failed(&digest, error));
        Ok(BlobStream::new(range.start, stream))
    }
}

impl EngineStore for ContainerdRoot {
    fn full_name<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<String>> {
        let found = self.0.find(name);
        Box::pin(ready(found.map(|digest| full_name_among(&self.0.names_of(&digest), name))))
    }

    fn stat_blob<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Descriptor>> {
        Box::pin(async move {
            let size = self.size_of(digest)?;
            let size = size.ok_or_else(|| self.0.not_found(&format!("blob {digest}")))?;
            Ok(Descriptor::new("application/octet-stream".into(), digest.clone(), size))
        })
    }
}

// As in a layout, files are read where the question is asked.
impl Lookup for ContainerdRoot {
    fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        let found = self.find(name).map(|document| document.descriptor().clone());
        Box::pin(ready(Presence::from_result(found)))
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(async move {
            if self.size_of(&descriptor.digest)?.is_some_and(|size| size > limit) {
                return Err(over_limit(&descriptor.digest, limit).at(&self.0.endpoint.location));
            }
            let Some(bytes) = self.0.small_blob(&descriptor.digest, limit)? else {
                return Ok(Presence::Absent);
            };
            verify(descriptor, &bytes).map_err(|error| error.at(&self.0.endpoint.location))?;
            Ok(Presence::Present(bytes.into()))
        })
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        let size = self.size_of(&descriptor.digest);
        Box::pin(ready(size.map(|size| presence(size, descriptor))))
    }
}

impl Source for ContainerdRoot {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(self.find(name)))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(async move { self.open_at(&request) })
    }

    fn unpacked_layer(&self, chain_id: &Digest) -> Option<UnpackedLayer> {
        let (directory, size) = self.0.snapshots.get(chain_id)?.first()?;
        let layer = UnpackedLayer::new(directory);
        Some(match size {
            Some(size) => layer.size(*size),
            None => layer,
        })
    }
}
