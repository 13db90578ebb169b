//! One blob over several connections, in simulated time.

use std::future::ready;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _, stream};
use rpull::content::{BlobRequest, BlobStream, Endpoint, Source};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::media::MediaType;
use rpull::name::ImageName;
use rpull::retry::RetryPolicy;
use rpull::transfer::{TransferOptions, read_blob};
use tokio::time::Instant;

use crate::support::images::random_blob;
use crate::support::unknown::knows_nothing;

const MIB: u64 = 1 << 20;
const CHUNK: usize = 256 << 10;

/// The bytes as a network gives them.
pub(super) fn chunks(bytes: &Bytes) -> Vec<Bytes> {
    bytes.chunks(CHUNK).map(|chunk| bytes.slice_ref(chunk)).collect()
}

/// The chunks at this many bytes per second.
pub(super) fn paced(chunks: Vec<Bytes>, rate: u64) -> impl Stream<Item = Result<Bytes>> {
    stream::iter(chunks).then(move |chunk| async move {
        tokio::time::sleep(Duration::from_micros(chunk.len() as u64 * 1_000_000 / rate)).await;
        Ok(chunk)
    })
}

/// What happens to one response.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// This many bytes per second.
    Rate(u64),
    /// It breaks after this many bytes.
    Breaks(u64, usize),
    /// It stops after this many bytes, and stays open.
    Stalls(u64, usize),
    /// It is the whole blob, whatever was asked for.
    Whole(u64),
    /// It is refused with this status.
    Refused(u16),
}

/// A blob behind a network with a rate for each connection.
struct Slow {
    endpoint: Endpoint,
    bytes: Bytes,
    fate: Box<dyn Fn(usize, u64) -> Fate + Send + Sync>,
    /// The requested ranges.
    requests: Mutex<Vec<std::ops::Range<u64>>>,
}

impl Slow {
    /// `fate` is asked with the number of the request and its first byte.
    fn new(size: u64, fate: impl Fn(usize, u64) -> Fate + Send + Sync + 'static) -> Self {
        Self {
            endpoint: Endpoint::new("slow"),
            bytes: random_blob(usize::try_from(size).unwrap(), size).into(),
            fate: Box::new(fate),
            requests: Mutex::default(),
        }
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn open(&self, request: &BlobRequest<'_>) -> Result<BlobStream> {
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request.range.clone());
            requests.len() - 1
        };
        let error =
            || Error::new(ErrorKind::Transport, "blob").with_reason("broken").transient(None);
        let fate = (self.fate)(number, request.range.start);
        let (rate, most, ends) = match fate {
            Fate::Rate(rate) | Fate::Whole(rate) => (rate, usize::MAX, true),
            Fate::Breaks(rate, most) => (rate, most, true),
            Fate::Stalls(rate, most) => (rate, most, false),
            Fate::Refused(status) => return Err(error().with_status(status)),
        };
        let is_whole = matches!(fate, Fate::Whole(_));
        let range = if is_whole { 0..self.bytes.len() as u64 } else { request.range.clone() };
        let start = range.start;
        let position = |at: u64| usize::try_from(at).unwrap();
        let body = self.bytes.slice(position(range.start)..position(range.end));
        let is_cut = most < body.len();
        let body = body.slice(..most.min(body.len()));
        let paced = paced(chunks(&body), rate);
        let end = match (is_cut, ends) {
            (true, true) => stream::iter([Err(error())]).boxed(),
            (true, false) => stream::pending().boxed(),
            (false, _) => stream::empty().boxed(),
        };
        Ok(BlobStream::new(start, paced.chain(end).boxed()))
    }
}

knows_nothing!(Slow);

impl Source for Slow {
    fn resolve<'a>(&'a self, _: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(Err(Error::new(ErrorKind::NotFound, "nothing"))))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.open(&request)
        })
    }
}

fn options() -> TransferOptions {
    TransferOptions::default().retry(RetryPolicy::default().base_delay(Duration::from_millis(10)))
}

/// Reads the blob, and checks its bytes; returns the simulated time.
async fn read(source: &Slow, options: TransferOptions) -> Duration {
    let descriptor = Descriptor::for_bytes(MediaType::OCI_CONFIG, &source.bytes);
    let (began, mut got) = (Instant::now(), Vec::new());
    let mut keep = |chunk: &[u8]| {
        got.extend_from_slice(chunk);
        Ok(())
    };
    read_blob(source, &descriptor, options, &mut keep).await.unwrap();
    assert!(got == source.bytes);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn ranges_are_faster_where_connections_are_limited() {
    let source = Slow::new(64 * MIB, |_, _| Fate::Rate(4 * MIB));
    let took = read(&source, options()).await;
    assert!(took < Duration::from_secs(4), "16 s over one connection: {took:?}");
    assert!(source.requests() <= 20, "{:?}", source.requests.lock().unwrap());
    let source = Slow::new(64 * MIB, |_, _| Fate::Rate(4 * MIB));
    let took = read(&source, options().connections(1)).await;
    assert!(took >= Duration::from_secs(16) && source.requests() == 1, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn ranges_of_small_or_fast_blobs_are_not_requested() {
    let source = Slow::new(4 * MIB, |_, _| Fate::Rate(MIB));
    read(&source, options()).await;
    assert_eq!(source.requests(), 1);
    let source = Slow::new(64 * MIB, |_, _| Fate::Rate(100 * MIB));
    read(&source, options()).await;
    assert_eq!(source.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn ranges_of_slow_connections_are_shorter() {
    let source = Slow::new(12 * MIB, |_, _| Fate::Rate(MIB / 8));
    let took = read(&source, options()).await;
    assert!(took < Duration::from_secs(20), "96 s over one connection: {took:?}");
    assert!(source.requests() <= 32, "{:?}", source.requests.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn ranges_window_smaller_than_chunk_does_not_deadlock() {
    for window in [0, 1, 1000, 3 * MIB] {
        let source = Slow::new(20 * MIB, |_, _| Fate::Rate(2 * MIB));
        read(&source, options().window(window)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn ranges_without_window_are_not_requested() {
    let source = Slow::new(20 * MIB, |_, _| Fate::Rate(2 * MIB));
    read(&source, options().window(0)).await;
    assert_eq!(source.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn ranges_of_crawling_connection_are_requested_again() {
    // Of four front-ends one crawls: the first, or a later one.
    for crawling in 0..4 {
        let rate = move |number: usize, _| {
            Fate::Rate(if number % 4 == crawling { MIB / 4 } else { 15 * MIB })
        };
        let source = Slow::new(64 * MIB, rate);
        let took = read(&source, options()).await;
        assert!(
            took < Duration::from_secs(12),
            "16 s for a range that crawls: {crawling}: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ranges_of_stalled_connection_are_requested_again() {
    let stalls = |number: usize, _| match number {
        0 => Fate::Stalls(4 * MIB, 6 << 20),
        2 => Fate::Stalls(4 * MIB, 0),
        _ => Fate::Rate(4 * MIB),
    };
    let took = read(&Slow::new(64 * MIB, stalls), options()).await;
    assert!(took < Duration::from_secs(20), "an idle connection is given 30 s: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn ranges_ignored_by_source_cost_one_request() {
    let source = Slow::new(32 * MIB, |_, _| Fate::Whole(4 * MIB));
    let took = read(&source, options()).await;
    assert_eq!(source.requests(), 2);
    assert!(took < Duration::from_millis(8500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn ranges_broken_or_refused_are_requested_again() {
    let fates = [
        |_: usize, _: u64| Fate::Breaks(4 * MIB, 3 << 20),
        |number, _| {
            if number % 2 == 1 { Fate::Breaks(4 * MIB, 100_000) } else { Fate::Rate(4 * MIB) }
        },
        |number, _| if number % 3 == 1 { Fate::Refused(503) } else { Fate::Rate(4 * MIB) },
        |number, _| if number == 0 { Fate::Rate(4 * MIB) } else { Fate::Refused(429) },
        |number, _| if number < 5 { Fate::Rate(4 * MIB) } else { Fate::Whole(4 * MIB) },
    ];
    for fate in fates {
        read(&Slow::new(32 * MIB, fate), options()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn ranges_at_random_rates_arrive_in_order() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let salt = random.u64(..);
        let fate = move |number: usize, start: u64| {
            let mut random = fastrand::Rng::with_seed(salt ^ start ^ (number as u64) << 40);
            let rate = random.u64(MIB / 2..6 * MIB);
            match random.u8(..12) {
                0 => Fate::Breaks(rate, random.usize(1..4 << 20)),
                1 if number > 0 => Fate::Refused(503),
                2 => Fate::Stalls(rate, random.usize(1..4 << 20)),
                3 if start == 0 => Fate::Whole(rate),
                _ => Fate::Rate(rate),
            }
        };
        let source = Slow::new(random.u64(8 * MIB..24 * MIB), fate);
        let window = [1, MIB, 64 * MIB][random.usize(..3)];
        let options = options().window(window).connections(random.usize(1..20));
        read(&source, options.idle(Duration::from_secs(2))).await;
    }
}
