//! One small blob into memory, verified: configs, and what people look at.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;

use crate::checked::{inline, verify};
use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{RetryPolicy, retry};

/// Reads a blob of at most `limit` bytes.
///
/// # Errors
/// [`ErrorKind::Document`] where the descriptor says that it is larger, [`ErrorKind::Mismatch`] for other bytes.
pub async fn blob(
    source: &dyn Source,
    descriptor: &Descriptor,
    limit: u64,
    policy: &RetryPolicy,
) -> Result<Bytes> {
    if descriptor.size > limit {
        let why = format!("{} bytes, more than the limit of {limit}", descriptor.size);
        return Err(
            Error::new(ErrorKind::Document, format!("blob {}", descriptor.digest)).because(why)
        );
    }
    if let Some((bytes, _)) = inline(descriptor) {
        return Ok(bytes);
    }
    retry(policy, || async {
        let mut stream = source.blob(descriptor, 0).await?.stream;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.try_next().await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > descriptor.size {
                break;
            }
        }
        if (bytes.len() as u64) < descriptor.size {
            return Err(Error::new(ErrorKind::Transport, format!("blob {}", descriptor.digest))
                .at(source.place())
                .because("the answer ended early")
                .transient(None));
        }
        verify(descriptor, &bytes).map_err(|error| error.at(source.place()))?;
        Ok(bytes.freeze())
    })
    .await
}
