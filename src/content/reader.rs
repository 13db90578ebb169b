//! Streams a reader that never waits for a network.

use std::io::{self, Read};

use bytes::Bytes;
use futures_util::stream;

use super::source::ByteStream;
use crate::error::Error;
use crate::limits::BUFFER_SIZE;

/// Streams a reader in buffers. `failed` makes the error of a failed read.
pub(crate) fn reader_stream(
    reader: Box<dyn Read + Send>,
    failed: impl Fn(io::Error) -> Error + Send + 'static,
) -> ByteStream<'static> {
    Box::pin(stream::try_unfold((reader, failed), |(mut reader, failed)| async move {
        // Reading a file never yields, so other tasks would starve.
        tokio::task::consume_budget().await;
        let mut buffer = vec![0; BUFFER_SIZE];
        let read = reader.read(&mut buffer).map_err(&failed)?;
        buffer.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(buffer), (reader, failed))))
    }))
}
