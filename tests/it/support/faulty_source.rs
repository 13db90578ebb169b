//! A source that fails as networks do and counts the bytes it gave.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use rpull::content::{BlobRequest, BlobStream, Endpoint, Source};
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::memory::Memory;
use rpull::name::ImageName;

use super::memory::look_through;

/// Fault of one opening of a blob.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SourceFault {
    None,
    /// The body ends after `n` bytes.
    Ends(u64),
    /// The body fails after `n` bytes.
    Breaks(u64),
    /// The opening fails.
    Busy,
    /// The requested offset is ignored: the body starts at byte 0.
    FromZero,
    /// The first byte is flipped.
    Flipped,
    /// The opening panics.
    Bug,
}

/// Applies its faults in order, one per opening; afterwards none.
pub(crate) struct FaultySource {
    endpoint: Endpoint,
    inner: Memory,
    faults: Mutex<VecDeque<SourceFault>>,
    given: Arc<AtomicU64>,
}

impl FaultySource {
    pub(crate) fn new(inner: Memory, faults: Vec<SourceFault>) -> Self {
        let endpoint = Endpoint::new("flaky".to_owned());
        Self { endpoint, inner, faults: Mutex::new(faults.into()), given: Arc::default() }
    }

    /// Returns the number of body bytes given so far.
    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Transport, "blob").with_reason("busy").transient(None)
}

/// Truncates the chunks to `left` bytes in total.
fn cut(pieces: Vec<Bytes>, mut left: usize) -> Vec<Bytes> {
    let shorten = |piece: Bytes| {
        let kept = piece.slice(..left.min(piece.len()));
        left -= kept.len();
        kept
    };
    pieces.into_iter().map(shorten).collect()
}

look_through!(FaultySource);

impl Source for FaultySource {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        self.inner.resolve(name)
    }

    fn open_blob<'a>(&'a self, mut request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(SourceFault::None);
        let given = Arc::clone(&self.given);
        Box::pin(async move {
            if matches!(fault, SourceFault::FromZero) {
                request.range.start = 0;
            }
            let start = request.range.start;
            if matches!(fault, SourceFault::Busy) {
                return Err(busy());
            }
            assert!(!matches!(fault, SourceFault::Bug), "a bug");
            let whole = self.inner.open_blob(request).await?.stream;
            let bytes: Vec<Bytes> = whole.map(Result::unwrap).collect().await;
            // Small ones, as a network gives them, so that a fault can be between them.
            let small = |bytes: &Bytes| {
                bytes.chunks(1000).map(|piece| bytes.slice_ref(piece)).collect::<Vec<_>>()
            };
            let mut pieces: Vec<Bytes> = bytes.iter().flat_map(small).collect();
            let mut end = Ok(Bytes::new());
            match fault {
                SourceFault::Ends(bytes) => pieces = cut(pieces, usize::try_from(bytes).unwrap()),
                SourceFault::Breaks(bytes) => {
                    pieces = cut(pieces, usize::try_from(bytes).unwrap());
                    end = Err(busy());
                }
                SourceFault::Flipped => {
                    let mut first = pieces[0].to_vec();
                    first[0] ^= 1;
                    pieces[0] = first.into();
                }
                SourceFault::None
                | SourceFault::Busy
                | SourceFault::FromZero
                | SourceFault::Bug => {}
            }
            let pieces = pieces.into_iter().map(move |piece| {
                given.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok(piece)
            });
            Ok(BlobStream::new(start, Box::pin(stream::iter(pieces.chain([end])))))
        })
    }
}
