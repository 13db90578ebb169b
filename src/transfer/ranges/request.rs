//! The request for one range.

use std::ops::Range;
use std::sync::Arc;

use futures_util::{TryStreamExt as _, stream};
use tokio::time::Instant;

use super::hosts::Host;
use crate::content::{BlobRequest, ByteStream, Source};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind};

/// Returns the bytes of a range, which is requested when they are polled. They begin with its first byte, or with an error, which is
/// transient for a source without ranges: a reader that meets it requests the blob itself.
pub(super) fn range<'a>(
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
    host: Option<Arc<Host>>,
    range: Range<u64>,
) -> ByteStream<'a> {
    let opening = async move {
        let (start, began) = (range.start, Instant::now());
        let opened =
            source.open_blob(BlobRequest::starting_at(descriptor, start).range(range)).await?;
        if let Some(host) = &host {
            host.record_round_trip(began.elapsed());
        }
        let Some(host) = host else { return Ok(opened.stream) };
        if opened.start == start {
            host.confirm_ranges();
            return Ok(opened.stream);
        }
        host.refuse_ranges();
        let error = Error::new(ErrorKind::Transport, format!("blob {}", descriptor.digest));
        let error = error.at(&source.endpoint().location);
        Err(error.with_reason("responds without ranges").transient(None))
    };
    Box::pin(stream::once(opening).try_flatten())
}
