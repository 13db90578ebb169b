//! Reads blobs that are not stored, with the same retries and verification as in a transfer.

use bytes::{Bytes, BytesMut};

use crate::content::{BlobWriter, Source, check_limit};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::RetryPolicy;
use crate::transfer::blob::context::TransferContext;
use crate::transfer::blob::counters::BlobCounters;
use crate::transfer::blob::reader::{ResumingReader, of_layout};
use crate::transfer::options::TransferOptions;
use crate::verifier::{Verified, Verifier, verified_inline_data};

/// Reads a blob of at most `limit` bytes into memory, verified: configs and other small content.
///
/// # Errors
/// [`ErrorKind::InvalidDocument`] if the descriptor gives a larger size, [`ErrorKind::Mismatch`] for other bytes.
pub async fn read_small(
    source: &dyn Source,
    descriptor: &Descriptor,
    limit: u64,
    retry: RetryPolicy,
) -> Result<Bytes> {
    check_limit(descriptor, limit)?;
    if let Some((bytes, _)) = verified_inline_data(descriptor) {
        return Ok(bytes);
    }
    let options = TransferOptions { retry, ..TransferOptions::default() };
    let (context, counters) = (TransferContext::new(&options), BlobCounters::default());
    loop {
        let mut bytes = BytesMut::new();
        let mut blob = VerifiedReader::new(source, descriptor, &context, &counters)?;
        let reading = async {
            while let Some(chunk) = blob.next().await? {
                bytes.extend_from_slice(&chunk);
            }
            blob.finish()
        };
        match reading.await {
            Ok(_) => return Ok(bytes.freeze()),
            Err(error) if exclude_wrong_host(source, descriptor, &error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Stops using the host of wrong bytes. Returns whether the error is one, and another host is left.
fn exclude_wrong_host(source: &dyn Source, descriptor: &Descriptor, error: &Error) -> bool {
    error.kind() == ErrorKind::Mismatch && source.exclude_wrong(&descriptor.digest)
}

/// Streams one blob to `sink`, verified at its end. If it fails, the sink has received bytes that are not verified.
///
/// # Errors
/// [`ErrorKind::Mismatch`] at the end if the bytes were wrong; transient if the blob can now be read from elsewhere, as by
/// [`read_elsewhere`].
pub async fn read_blob(
    source: &dyn Source,
    descriptor: &Descriptor,
    options: TransferOptions,
    sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
) -> Result<()> {
    let (context, counters) = (TransferContext::new(&options), BlobCounters::default());
    let mut blob = VerifiedReader::new(source, descriptor, &context, &counters)?;
    let reading = async {
        while let Some(chunk) = blob.next().await? {
            sink(&chunk)?;
        }
        blob.finish().map(drop)
    };
    reading.await.map_err(|error| transient_if_other_host(source, descriptor, error))
}

/// Stops using the host of wrong bytes, and makes the error transient if another host is left. What was passed on cannot be
/// taken back here, so whether there is another attempt is up to the caller.
pub(super) fn transient_if_other_host(
    source: &dyn Source,
    descriptor: &Descriptor,
    error: Error,
) -> Error {
    if exclude_wrong_host(source, descriptor, &error) { error.transient(None) } else { error }
}

/// Whether the bytes of a host were wrong, and another host may have the right ones.
pub fn can_read_elsewhere(error: &Error) -> bool {
    error.kind() == ErrorKind::Mismatch && error.is_transient()
}

/// Calls `read` again while it got wrong bytes of a host and another host is left. Each call must take back what the
/// previous one passed on.
pub async fn read_elsewhere<T>(mut read: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    loop {
        match read().await {
            Err(error) if can_read_elsewhere(&error) => {
                tracing::info!("{}; reading from elsewhere", error.chain());
            }
            ended => return ended,
        }
    }
}

/// Reads a blob into a writer, which it empties first, and returns the proof that commits it. Retries the source.
///
/// # Errors
/// As [`read_blob`], and those of the writer.
pub async fn fetch_blob(
    source: &dyn Source,
    descriptor: &Descriptor,
    options: TransferOptions,
    writer: &mut dyn BlobWriter,
) -> Result<Verified> {
    let (context, counters) = (TransferContext::new(&options), BlobCounters::default());
    let mut blob = VerifiedReader::new(source, descriptor, &context, &counters)?;
    writer.truncate().await?;
    let reading = async {
        while let Some(chunk) = blob.next().await? {
            writer.write(chunk).await?;
        }
        blob.finish()
    };
    // The writer may have readers.
    reading.await.map_err(|error| transient_if_other_host(source, descriptor, error))
}

/// A blob from its first byte, hashed as it arrives: its chunks are verified when [`VerifiedReader::finish`] has succeeded.
pub(super) struct VerifiedReader<'a> {
    reader: ResumingReader<'a>,
    verifier: Verifier,
    source: &'a dyn Source,
}

impl<'a> VerifiedReader<'a> {
    pub(super) fn new(
        source: &'a dyn Source,
        descriptor: &'a Descriptor,
        context: &'a TransferContext,
        counters: &'a BlobCounters,
    ) -> Result<Self> {
        Ok(Self {
            verifier: Verifier::new(descriptor)?,
            reader: ResumingReader::new(source, descriptor, 0, context, counters),
            source,
        })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.reader.next().await?;
        if let Some(chunk) = &chunk {
            self.verifier.update(chunk).map_err(|error| of_layout(self.source, error))?;
        }
        Ok(chunk)
    }

    pub(super) fn finish(self) -> Result<Verified> {
        let Self { verifier, source, .. } = self;
        let proof = verifier.finish().map_err(|error| error.at(&source.endpoint().location));
        proof.map_err(|error| of_layout(source, error))
    }
}
