//! Reads a blob from mirrors. If one breaks off, the rest is requested from the next host, without the reader noticing.

use std::ops::Range;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use super::read::{Failures, Need};
use crate::content::{BlobRequest, BlobStream, ByteStream};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::min_rate::MinimumRate;
use crate::registry::blob;
use crate::registry::repository::{MirrorSet, Repository};

/// A reader that gives up a body after waiting this long for bytes has not cancelled it for another reason.
const STALL: Duration = Duration::from_secs(2);

/// Opens a blob at the first host that has it.
pub(in crate::registry) async fn open(
    repository: &Repository,
    request: BlobRequest<'_>,
) -> Result<BlobStream> {
    let Some(set) = repository.mirrors.as_deref() else {
        return blob::open(repository, request).await;
    };
    let (mirror, opened) =
        open_at_first(repository, set, request.descriptor, request.range.clone()).await?;
    if mirror.is_none() {
        return Ok(opened);
    }
    let pace = MinimumRate::over(repository.transport.http.options.timeouts.idle / 2);
    let body = MirroredBody {
        repository: repository.clone(),
        descriptor: request.descriptor.clone(),
        mirror,
        position: opened.start,
        end: request.range.end,
        skip: 0,
        body: opened.stream,
        pace,
        is_too_slow: false,
        silent_since: None,
    };
    let next = |mut body: MirroredBody| async move {
        let bytes = body.next().await?;
        Ok(bytes.map(|bytes| (bytes, body)))
    };
    let stream = Box::pin(stream::try_unfold(body, next));
    Ok(BlobStream { stream, ..opened })
}

/// Opens the blob at the first mirror that has it, else at the registry. Returns the position of the mirror.
async fn open_at_first(
    repository: &Repository,
    set: &MirrorSet,
    descriptor: &Descriptor,
    range: Range<u64>,
) -> Result<(Option<usize>, BlobStream)> {
    let mut failures = Failures::default();
    let request = || BlobRequest { descriptor, range: range.clone() };
    for (at, mirror) in set.capable(Need::Digest(&descriptor.digest)) {
        match blob::open(&mirror.repository, request()).await {
            Ok(opened) => {
                set.record_use(mirror);
                set.blobs.record_use(&descriptor.digest, at);
                return Ok((Some(at), opened));
            }
            Err(error) => {
                set.blobs.exclude(&descriptor.digest, at);
                failures.add(set, mirror, &error);
            }
        }
    }
    let opened = blob::open(repository, request()).await;
    opened.map(|opened| (None, opened)).map_err(|error| failures.explain(error))
}

/// The bytes of a blob that began at a mirror.
struct MirroredBody {
    repository: Repository,
    descriptor: Descriptor,
    /// Where the current body comes from; `None` for the registry.
    mirror: Option<usize>,
    position: u64,
    end: u64,
    /// Bytes of the current body that were delivered before.
    skip: u64,
    body: ByteStream<'static>,
    /// Rate of the mirrors.
    pace: MinimumRate,
    is_too_slow: bool,
    /// Since when bytes are awaited.
    silent_since: Option<Instant>,
}

impl Drop for MirroredBody {
    /// A range that was given up because its mirror stalled is requested from the next host.
    fn drop(&mut self) {
        let has_stalled = self.silent_since.is_some_and(|since| since.elapsed() >= STALL);
        if let Some(at) = self.mirror.filter(|_| has_stalled && self.position < self.end) {
            let error = self.broken_off("given up after a stall");
            self.exclude(at, &error);
        }
    }
}

impl MirroredBody {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(at) = self.mirror.filter(|_| self.is_too_slow && self.position < self.end) {
                self.is_too_slow = false;
                self.switch(at, self.broken_off("too slow")).await?;
            }
            let began = Instant::now();
            self.silent_since = Some(began);
            let received = tokio::time::timeout(self.timeout(), self.body.next()).await;
            self.silent_since = None;
            let failure = match received {
                Ok(Some(Ok(bytes))) => {
                    let enough = self.pace.record(bytes.len() as u64, began.elapsed());
                    self.is_too_slow |= enough == Some(false);
                    match self.take_new(bytes) {
                        Some(bytes) => return Ok(Some(bytes)),
                        None => continue,
                    }
                }
                // Nothing is missing, however the response ends.
                _ if self.position >= self.end => return Ok(None),
                Ok(Some(Err(error))) => error,
                Ok(None) => self.broken_off("response ended early"),
                Err(_) => self.broken_off(&format!(
                    "no data received for {} s",
                    self.timeout().as_secs_f32()
                )),
            };
            // Also for errors of the registry, which the reader retries.
            let Some(at) = self.mirror else { return Err(failure) };
            self.switch(at, failure).await?;
        }
    }

    /// Shorter than that of the reader, for which this must not be a failure.
    fn timeout(&self) -> Duration {
        let idle = self.repository.transport.http.options.timeouts.idle;
        if self.mirror.is_some() { idle / 2 } else { idle }
    }

    fn take_new(&mut self, mut bytes: Bytes) -> Option<Bytes> {
        let known = self.skip.min(bytes.len() as u64);
        self.skip -= known;
        bytes.advance(usize::try_from(known).unwrap_or(usize::MAX));
        self.position += bytes.len() as u64;
        (!bytes.is_empty()).then_some(bytes)
    }

    fn broken_off(&self, reason: &str) -> Error {
        let reason = format!("{reason}, at byte {} of {}", self.position, self.descriptor.size);
        Error::new(ErrorKind::Transport, format!("blob {}", self.descriptor.digest))
            .with_reason(reason)
            .transient(None)
    }

    fn exclude(&self, mirror: usize, error: &Error) {
        let Some(set) = self.repository.mirrors.as_deref() else { return };
        set.blobs.exclude(&self.descriptor.digest, mirror);
        if let Some(mirror) = set.mirrors.get(mirror) {
            set.record_failure(mirror, error, true);
        }
    }

    /// Requests the rest from the next host.
    async fn switch(&mut self, failed: usize, error: Error) -> Result<()> {
        let Some(set) = self.repository.mirrors.as_deref() else { return Err(error) };
        self.exclude(failed, &error);
        let rest = self.position..self.end;
        let (mirror, opened) = open_at_first(&self.repository, set, &self.descriptor, rest).await?;
        self.mirror = mirror;
        self.skip = self.position.saturating_sub(opened.start);
        self.body = opened.stream;
        Ok(())
    }
}

impl Repository {
    /// Stops asking the mirrors that gave bytes of this blob, which were wrong. Returns whether there were any.
    pub(in crate::registry) fn exclude_mirrors_of(&self, digest: &Digest) -> bool {
        let Some(set) = self.mirrors.as_deref() else { return false };
        let used = set.blobs.exclude_used(digest);
        for mirror in used.iter().filter_map(|at| set.mirrors.get(*at)) {
            let error = Error::new(ErrorKind::Mismatch, format!("blob {digest}"));
            set.record_failure(mirror, &error.with_reason("digest mismatch"), true);
        }
        !used.is_empty()
    }
}
