//! Fetches a blob into the store.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::super::blobs::unknown_blob;
use super::super::response::ApiError;
use super::PullThrough;
use super::arriving::{ArrivingBlob, stopped};
use super::failure::upstream_error;
use super::route::UpstreamRepository;
use crate::content::{
    BlobWriter, ByteStream, OpenBlobOptions, Opened, Presence, Target as _, TargetPlan,
};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::transfer::{TransferOptions, fetch_blob};
use crate::verifier::Verified;

impl PullThrough {
    /// Starts to fetch the blob, or joins the fetch that is running. It goes on without clients, for the next ones.
    pub(super) fn start_fetch(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        descriptor: Descriptor,
    ) -> Arc<ArrivingBlob> {
        let fetch = match self.arriving.register(descriptor) {
            Ok(new) => new,
            Err(running) => return running,
        };
        let end = FetchEnd { cache: Arc::clone(self), fetch: Arc::clone(&fetch) };
        let repository = repository.clone();
        tokio::spawn(async move {
            let fetching = Box::pin(end.cache.run_fetch(&end.fetch, &repository));
            let result = end.cache.stop.run_until_cancelled(fetching).await;
            let result = result.unwrap_or_else(|| Err(stopped()));
            end.set(result);
        });
        fetch
    }

    async fn run_fetch(
        self: &Arc<Self>,
        fetch: &Arc<ArrivingBlob>,
        repository: &UpstreamRepository,
    ) -> Result<(), ApiError> {
        let _permit = self.arriving.permits.acquire().await;
        let digest = &fetch.descriptor.digest;
        match self.fetch_into_store(fetch, repository).await {
            Ok(()) => Ok(()),
            Err(error) if is_of_store(&error) => Err(error.into()),
            Err(error) => {
                self.sizes.forget(&repository.path, digest);
                Err(upstream_error(&repository.registry, &error, unknown_blob(digest)))
            }
        }
    }

    async fn fetch_into_store(
        self: &Arc<Self>,
        fetch: &Arc<ArrivingBlob>,
        repository: &UpstreamRepository,
    ) -> Result<()> {
        let descriptor = &fetch.descriptor;
        let target = self.layout.begin(&TargetPlan::default()).await?;
        let Opened::Writer(writer) =
            target.open_blob(descriptor, &OpenBlobOptions::default()).await?
        else {
            return Ok(());
        };
        let mut writer = SharedWriter { writer, fetch: Arc::clone(fetch) };
        let upstream = &repository.upstream;
        // One connection: what arrives early cannot be passed on.
        let options =
            TransferOptions::default().retry(upstream.retry).idle(upstream.timeouts.idle).window(0);
        let proof = fetch_blob(&repository.source, descriptor, options, &mut writer).await?;
        writer.writer.commit(proof).await?;
        self.added(descriptor.size);
        Ok(())
    }
}

/// Whether the store failed, and not the upstream.
fn is_of_store(error: &Error) -> bool {
    error.kind() == ErrorKind::Store && error.side() != Some(Side::Source)
}

/// Ends a fetch, whatever happens to its task.
struct FetchEnd {
    cache: Arc<PullThrough>,
    fetch: Arc<ArrivingBlob>,
}

impl FetchEnd {
    fn set(&self, result: Result<(), ApiError>) {
        // Who comes from now on finds the blob in the store, or fetches it anew.
        self.cache.arriving.remove(&self.fetch);
        self.fetch.end(result);
    }
}

impl Drop for FetchEnd {
    fn drop(&mut self) {
        self.set(Err(stopped()));
    }
}

/// Announces written bytes to readers.
struct SharedWriter {
    writer: Box<dyn BlobWriter>,
    fetch: Arc<ArrivingBlob>,
}

impl BlobWriter for SharedWriter {
    fn offset(&self) -> u64 {
        self.writer.offset()
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        self.writer.read_back()
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let length = bytes.len() as u64;
            self.writer.write(bytes).await?;
            self.fetch.advance(length);
            Ok(())
        })
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.writer.truncate().await?;
            self.fetch.set_file(self.writer.file()?);
            Ok(())
        })
    }

    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        self.writer.commit(proof)
    }
}
