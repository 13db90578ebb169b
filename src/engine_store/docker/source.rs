//! [`Source`] for docker's data root.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::data_root::DataRoot;
use super::paths;
use super::rebuild::LayerTar;
use crate::blocking::run_blocking;
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

/// Docker's data root, usually `/var/lib/docker`, as it was when it was opened.
///
/// The images of the graph driver overlay2 are read; a manifest is made for each, as for what `docker save` writes. The
/// bytes of a layer are rebuilt from its headers and its overlay directory.
#[derive(Clone, Debug)]
pub struct DockerRoot(pub(super) Arc<DataRoot>);

impl DockerRoot {
    /// Opens a data root. Reads the names of its images and layers.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the directory does not exist, [`ErrorKind::Unsupported`] for other graph drivers,
    /// [`ErrorKind::Store`] if it is no data root or cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        DataRoot::open(path).map(|root| Self(Arc::new(root)))
    }

    /// Runs `work` on a blocking thread: the headers of all layers of an image are read to learn their sizes.
    async fn search<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DataRoot) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = Arc::clone(&self.0);
        run_blocking("read the engine's store", move || work(&root)).await
    }
}

impl EngineStore for DockerRoot {
    fn full_name<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<String>> {
        let name = name.clone();
        Box::pin(self.search(move |root| {
            let names = root.names_of(&root.find(&name)?);
            Ok(full_name_among(&names, &name))
        }))
    }

    fn stat_blob<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Descriptor>> {
        let digest = digest.clone();
        Box::pin(self.search(move |root| {
            let size = root.blob_size(&digest)?;
            let size = size.ok_or_else(|| root.not_found(&format!("blob {digest}")))?;
            Ok(Descriptor::new("application/octet-stream".into(), digest, size))
        }))
    }
}

impl DataRoot {
    /// Bytes of a layer's tar or a config.
    fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        digest.algorithm()?;
        match self.chain_id(digest) {
            Some(chain_id) => self.tar_size(chain_id),
            None => Ok(self.config(digest)?.map(|bytes| bytes.len() as u64)),
        }
    }

    fn resolve(&self, name: &ImageName) -> Result<Document> {
        self.find(name).and_then(|id| self.document(&id))
    }

    /// The bytes of a config or of a manifest that was made here.
    fn small_bytes(&self, digest: &Digest) -> Result<Bytes> {
        if let Some(bytes) = self.config(digest)? {
            return Ok(bytes);
        }
        let id = self.with_manifest(digest)?;
        Ok(self.document(&id)?.bytes().clone())
    }

    fn read(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes> {
        let bytes = self.small_bytes(&descriptor.digest)?;
        if bytes.len() as u64 > limit {
            return Err(over_limit(&descriptor.digest, limit).at(&self.endpoint.location));
        }
        verify(descriptor, &bytes).map_err(|error| error.at(&self.endpoint.location))?;
        Ok(bytes)
    }

    /// The chain id of a layer with this content. One whose tar can be rebuilt is preferred.
    fn chain_id(&self, diff_id: &Digest) -> Option<&Digest> {
        let all = self.layers.with_diff_id(diff_id);
        all.iter().find(|id| matches!(self.tar_size(id), Ok(Some(_)))).or(all.first())
    }

    fn presence(&self, descriptor: &Descriptor) -> Result<BlobPresence> {
        Ok(presence(self.blob_size(&descriptor.digest)?, descriptor))
    }

    fn open_blob(&self, digest: &Digest, start: u64) -> Result<Box<dyn Read + Send>> {
        digest.algorithm()?;
        let Some(chain_id) = self.chain_id(digest) else {
            let bytes = self.config(digest)?;
            let bytes = bytes.ok_or_else(|| self.not_found(&format!("blob {digest}")))?;
            let mut bytes = Cursor::new(bytes);
            bytes.set_position(start);
            return Ok(Box::new(bytes));
        };
        let Some(layer) = self.layers.get(chain_id)? else {
            return Err(self.not_found(&format!("blob {digest}")));
        };
        let no_bytes = |name: &str| {
            Error::new(ErrorKind::Store, format!("layer {digest}"))
                .at(self.dir.path(name).display().to_string())
                .with_reason("is missing, so the layer's tar cannot be rebuilt")
        };
        let headers = paths::tar_split(chain_id);
        let split = self.tar_split(chain_id)?.ok_or_else(|| no_bytes(&headers))?;
        let diff = paths::diff(&layer.cache_id);
        let files = self.dir.directory(&diff)?.ok_or_else(|| no_bytes(&diff))?;
        let tar = LayerTar::open(split, files, start);
        Ok(Box::new(tar.map_err(|error| self.dir.failed("read", &diff, error))?))
    }
}

impl Lookup for DockerRoot {
    fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        let name = name.clone();
        Box::pin(self.search(move |root| {
            let document = root.resolve(&name);
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
        Box::pin(self.search(move |root| Presence::from_result(root.read(&descriptor, limit))))
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        let descriptor = descriptor.clone();
        Box::pin(self.search(move |root| root.presence(&descriptor)))
    }
}

impl Source for DockerRoot {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        let name = name.clone();
        Box::pin(self.search(move |root| root.resolve(&name)))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        let (digest, range) = (request.descriptor.digest.clone(), request.range_to_read());
        Box::pin(self.search(move |root| {
            let length = range.end.saturating_sub(range.start);
            let reader = Box::new(root.open_blob(&digest, range.start)?.take(length));
            let location = root.endpoint.location.clone();
            let stream = reader_stream(reader, move |error| {
                Error::new(ErrorKind::Store, format!("layer {digest}"))
                    .at(&location)
                    .with_source(error)
            });
            Ok(BlobStream::new(range.start, stream))
        }))
    }

    fn unpacked_layer(&self, chain_id: &Digest) -> Option<UnpackedLayer> {
        let layer = self.0.layers.get(chain_id).ok()??;
        let directory = self.0.dir.path(paths::diff(&layer.cache_id));
        Some(UnpackedLayer::new(directory).size(layer.size))
    }
}
