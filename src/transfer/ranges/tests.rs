//! A blob whose connections other blobs want, too, in simulated time.

use std::future::ready;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};

use super::ahead::Ahead;
use super::hosts::{Hosts, Permit};
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, Lookup, Presence, Source,
};
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::ImageName;
use crate::transfer::blob::counters::BlobCounters;

static CHUNK: [u8; 256 << 10] = [0; 256 << 10];

/// A source of zeros with 4 MiB/s per connection.
struct Zeros(Endpoint);

impl Lookup for Zeros {
    fn endpoint(&self) -> &Endpoint {
        &self.0
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
        let chunks = stream::iter(0..length / CHUNK.len()).then(|_| async {
            tokio::time::sleep(Duration::from_micros(62_500)).await;
            Ok(Bytes::from_static(&CHUNK))
        });
        Box::pin(ready(Ok(BlobStream::new(request.range.start, chunks.boxed()))))
    }
}

#[tokio::test(start_paused = true)]
async fn reader_takes_connection_of_its_last_range_if_none_is_free() {
    let source = Zeros(Endpoint::new("zeros"));
    let mut descriptor = Descriptor::for_bytes(MediaType::OCI_CONFIG, &[]);
    descriptor.size = 64 << 20;
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
    let host = hosts.get(&source.0).unwrap();
    let others: Vec<Permit> = std::iter::from_fn(|| host.try_connect()).collect();
    assert!((1..3).contains(&others.len()));
    let taken = [ahead.connect().now_or_never(), ahead.connect().now_or_never()];
    assert!(taken[0].as_ref().is_some_and(Option::is_some), "the other blob may take very long");
    assert_eq!(taken.iter().filter(|permit| permit.is_some()).count(), 3 - others.len());
}
