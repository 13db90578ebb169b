//! The connections of one blob in simulated time.

use std::future::ready;
use std::iter;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::mpsc::{Receiver, channel};

use super::ahead::Ahead;
use super::hosts::{Hosts, Permit};
use crate::content::{
    BlobPresence, BlobRanges, BlobRequest, BlobStream, Effort, Endpoint, Lookup, Presence, Source,
};
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::ImageName;
use crate::transfer::blob::context::TransferContext;
use crate::transfer::blob::counters::BlobCounters;
use crate::transfer::blob::reader::ResumingReader;
use crate::transfer::options::TransferOptions;

static CHUNK: [u8; 256 << 10] = [0; 256 << 10];

/// A source of zeros with 4 MiB/s per connection, or as fast as the task of a connection has its turn.
struct Zeros {
    endpoint: Endpoint,
    has_tasks: bool,
}

impl Zeros {
    fn new() -> Self {
        Self { endpoint: Endpoint::new("zeros"), has_tasks: false }
    }
}

impl Lookup for Zeros {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn name<'a>(
        &'a self,
        _: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        Box::pin(ready(Ok(Presence::Unknown)))
    }

    fn read<'a>(
        &'a self,
        _: &'a Descriptor,
        _: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(ready(Ok(Presence::Unknown)))
    }

    fn blob<'a>(&'a self, _: &'a Descriptor, _: Effort) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(ready(Ok(BlobPresence::Unknown)))
    }
}

impl Source for Zeros {
    fn resolve<'a>(&'a self, _: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(Err(Error::new(ErrorKind::NotFound, "nothing"))))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        let length = usize::try_from(request.range.end - request.range.start).unwrap();
        if self.has_tasks {
            let (sender, chunks) = channel(1);
            tokio::spawn(async move {
                for _ in 0..length / CHUNK.len() {
                    sender.send(Ok(Bytes::from_static(&CHUNK))).await.unwrap();
                }
            });
            let chunks = stream::unfold(chunks, |mut chunks: Receiver<_>| async {
                chunks.recv().await.map(|chunk| (chunk, chunks))
            });
            return Box::pin(ready(Ok(BlobStream::new(request.range.start, chunks.boxed()))));
        }
        let chunks = stream::iter(0..length / CHUNK.len()).then(|_| async {
            tokio::time::sleep(Duration::from_micros(62_500)).await;
            Ok(Bytes::from_static(&CHUNK))
        });
        Box::pin(ready(Ok(BlobStream::new(request.range.start, chunks.boxed()))))
    }
}

/// A blob of 64 MiB.
fn blob() -> Descriptor {
    Descriptor { size: 64 << 20, ..Descriptor::for_bytes(MediaType::OCI_CONFIG, &[]) }
}

#[tokio::test(start_paused = true)]
async fn reader_takes_connection_of_its_last_range_if_none_is_free() {
    let source = Zeros::new();
    let descriptor = blob();
    let (hosts, counters) = (Hosts::new(3, 64 << 20), BlobCounters::default());
    let received = AtomicU64::new(0);
    let mut ahead = Ahead::new(&source, &descriptor, &hosts, &received, &counters);
    ahead.allow_split(0);
    let own = ahead.connect().await;
    let request = BlobRequest::starting_at(&descriptor, 0).range(ahead.begin(0));
    let mut body = ahead.drive(source.open_blob(request)).await.unwrap().stream;
    let mut position = 0;
    while ahead.end() == descriptor.size {
        let chunk = ahead.drive_body(body.next()).await.flatten().unwrap().unwrap();
        position += chunk.len() as u64;
        ahead.host().unwrap().record_bytes(chunk.len() as u64);
        ahead.advance(position);
    }
    // Its body is cut: a range follows. Another blob takes what is free, and the reader needs a connection again.
    drop((body, own));
    ahead.pause();
    let host = hosts.get(&source.endpoint).unwrap();
    let others: Vec<Permit> = iter::from_fn(|| host.try_connect()).collect();
    assert!((1..3).contains(&others.len()));
    let taken = [ahead.connect().now_or_never(), ahead.connect().now_or_never()];
    assert!(taken[0].as_ref().is_some_and(Option::is_some), "the other blob may take very long");
    assert_eq!(taken.iter().filter(|permit| permit.is_some()).count(), 3 - others.len());
}

/// A partial that only counts.
#[derive(Default)]
struct Counted(Mutex<u64>);

impl BlobRanges for Counted {
    fn present(&self) -> Vec<Range<u64>> {
        iter::once(20 << 20..24 << 20).collect()
    }

    fn write_at(&self, _: u64, bytes: &[u8]) -> Result<()> {
        *self.0.lock().unwrap() += bytes.len() as u64;
        Ok(())
    }

    fn read_at(&self, _: Range<u64>) -> Result<Bytes> {
        Ok(Bytes::from_static(&CHUNK))
    }
}

#[tokio::test(start_paused = true)]
async fn gaps_are_requested_while_earlier_bytes_are_hashed() {
    let source = Zeros::new();
    let descriptor = blob();
    let (hosts, counters) = (Hosts::new(3, 64 << 20), BlobCounters::default());
    let (received, partial) = (AtomicU64::new(0), Arc::<Counted>::default());
    let mut ahead = Ahead::new(&source, &descriptor, &hosts, &received, &counters);
    ahead.allow_split(16 << 20);
    ahead.keep_in(Arc::clone(&partial) as Arc<dyn BlobRanges>);
    ahead.start_at(16 << 20);
    ahead.drive(tokio::time::sleep(Duration::from_millis(500))).await;
    let first = received.load(Ordering::Relaxed);
    assert!((1 << 20..4 << 20).contains(&first), "{first}");
    assert_eq!(*partial.0.lock().unwrap(), first, "a killed run keeps it");
    let host = hosts.get(&source.endpoint).unwrap();
    let others: Vec<Permit> = iter::from_fn(|| host.try_connect()).collect();
    assert_eq!(others.len(), 2, "one connection is enough");
    drop(others);

    // The range becomes the reader's own body, up to what is there; while that is hashed, the next one arrives.
    let (_, permit) = ahead.take(16 << 20).unwrap().connection.unwrap();
    assert_eq!(ahead.end(), 20 << 20);
    drop(permit);
    ahead.advance(20 << 20);
    ahead.pause();
    assert!(ahead.take(20 << 20).unwrap().connection.is_none());
    ahead.drive(tokio::time::sleep(Duration::from_millis(500))).await;
    assert!(received.load(Ordering::Relaxed) > first);
    assert!(ahead.take(24 << 20).unwrap().connection.is_some());
}

#[tokio::test]
async fn gaps_arrive_while_hashing_never_waits() {
    let source = Zeros { has_tasks: true, ..Zeros::new() };
    let descriptor = blob();
    let context = TransferContext::new(&TransferOptions::default());
    let (counters, partial) = (BlobCounters::default(), Arc::<Counted>::default());
    let reader = ResumingReader::new(&source, &descriptor, 16 << 20, &context, &counters);
    let mut reader = reader.with_ranges(Arc::clone(&partial) as Arc<dyn BlobRanges>);
    for _ in 0..64 {
        reader.receive_during(ready(())).await;
    }
    let arrived = *partial.0.lock().unwrap();
    assert!(arrived >= 2 << 20, "the task of the connection had no turn: {arrived}");
}
