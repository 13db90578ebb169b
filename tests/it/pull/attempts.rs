//! What the report counts as transferred, resumed and resent when a blob takes several attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rpull::content::{
    BlobWriter, ByteStream, Endpoint, OpenBlobOptions, Opened, Presence, Role, Target, TargetPlan,
    TargetProperties, TargetWriter,
};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::memory::Memory;
use rpull::name::ImageName;
use rpull::retry::RetryPolicy;
use rpull::transfer::{ImageRequest, TransferOptions, transfer};
use rpull::verifier::Verified;

use super::engine::assert_law;
use crate::support::faulty_source::FaultySource;
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::memory::{WithImage as _, look_through};
use crate::support::writing::{begin, open};

/// A target that keeps what it has of a blob after a failed attempt, as a registry keeps an upload session.
struct Keeping {
    endpoint: Endpoint,
    inner: Memory,
    /// Fails once at the third chunk of a blob.
    breaks: Arc<AtomicBool>,
}

look_through!(Keeping);

impl Target for Keeping {
    fn properties(&self) -> TargetProperties {
        self.inner.properties()
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        Box::pin(async {
            let (inner, breaks) = (self.inner.begin(plan).await?, Arc::clone(&self.breaks));
            Ok(Arc::new(KeepingWriter { inner, breaks }) as Arc<dyn TargetWriter>)
        })
    }
}

struct KeepingWriter {
    inner: Arc<dyn TargetWriter>,
    breaks: Arc<AtomicBool>,
}

impl TargetWriter for KeepingWriter {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        options: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            Ok(match self.inner.open_blob(descriptor, options).await? {
                Opened::Writer(inner) => {
                    Opened::Writer(Box::new(Writer { inner, breaks: Arc::clone(&self.breaks) }))
                }
                other => other,
            })
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        self.inner.put_manifest(document, role)
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.finish()
    }
}

struct Writer {
    inner: Box<dyn BlobWriter>,
    breaks: Arc<AtomicBool>,
}

impl BlobWriter for Writer {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        Ok(Presence::Unknown)
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        if self.inner.offset() == 2000 && self.breaks.swap(false, Ordering::Relaxed) {
            let busy = Error::new(ErrorKind::Transport, "upload").with_reason("busy");
            return Box::pin(async { Err(busy.transient(None)) });
        }
        self.inner.write(bytes)
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        self.inner.truncate()
    }

    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        self.inner.commit(proof)
    }
}

/// Copies an image with one layer of about 5 kB, in chunks of 1 kB, to a target that has `kept` bytes of the layer. Returns the
/// counts: received from the source, size of the image, transferred, resumed, resent.
async fn copy(breaks: bool, kept: usize) -> [u64; 5] {
    let held: Image = image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(5000, 1))])]);
    let memory = Memory::default();
    if kept > 0 {
        let blob = &held.layers[0];
        let mut partial = open(&*begin(&memory).await, &blob.descriptor).await;
        partial.write(blob.bytes.slice(..kept)).await.unwrap();
    }
    let name = ImageName::Tag("1".into());
    let source = Arc::new(FaultySource::new(Memory::default().with(name.clone(), &held), vec![]));
    let request = ImageRequest::new(Arc::clone(&source) as _, name.clone()).target_name(name);
    let breaks = Arc::new(AtomicBool::new(breaks));
    let target: Arc<dyn Target> =
        Arc::new(Keeping { endpoint: Endpoint::new("keeping"), inner: memory, breaks });
    let retry = RetryPolicy::default().base_delay(Duration::ZERO);
    let options = TransferOptions::default().retry(retry);
    let result = transfer(&[request], &target, options).await.remove(0);
    assert!(result.error.is_none(), "{:?}", result.error);
    assert_law(&result);
    let bytes = result.report.bytes;
    [source.given(), held.size(), bytes.transferred, bytes.resumed, bytes.resent]
}

#[tokio::test]
async fn blob_continued_in_same_run_counts_as_transferred() {
    let [given, size, transferred, resumed, resent] = copy(true, 0).await;
    assert_eq!((transferred, resumed), (size, 0), "nothing is from an earlier run");
    // The chunk that was not written, and the 2000 bytes before it, which are read again to be hashed.
    assert_eq!((resent, given), (3000, size + 3000));
}

#[tokio::test]
async fn partial_hashed_from_remote_source_counts_as_resent() {
    let [given, size, transferred, resumed, resent] = copy(false, 2500).await;
    assert_eq!((transferred, resumed), (size - 2500, 2500));
    // The source gives the third chunk as a whole.
    assert_eq!((resent, given), (3000, transferred + 3000), "every byte on the wire is told");
}
