//! An image's layers as readers for the thread that inflates them: files of a layout, or whatever a place sends.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::open::Image;
use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::retry::RetryPolicy;
use crate::transfer::{Options, read_blob};
use crate::unpack::{LayerBlob, OpenBlob};

/// Pieces of a blob that wait to be inflated.
const WAITING: usize = 8;

/// Who waits longer is asked whether it still wants to.
const PATIENCE: Duration = Duration::from_millis(100);

/// The layers of an image, base first.
///
/// # Errors
/// As [`LayerBlob::of_image`].
pub(super) fn layer_blobs(image: &Image, retry: RetryPolicy) -> Result<Vec<LayerBlob<'static>>> {
    let open = |layer: &Descriptor| opener(image, layer.clone(), retry);
    LayerBlob::of_image(&image.opened.reference, image.manifest()?, &image.config, open)
}

fn opener(image: &Image, layer: Descriptor, retry: RetryPolicy) -> OpenBlob<'static> {
    if let Some(arriving) = &image.arriving {
        let layer = arriving.layer(layer);
        return Box::new(move || Ok(Box::new(layer)));
    }
    if let Some(layout) = image.opened.layout.as_ref().map(Arc::clone) {
        return Box::new(move || open_file(&layout, &layer));
    }
    let (source, runtime) = (Arc::clone(&image.opened.source), Handle::current());
    Box::new(move || Ok(Box::new(receive(source, layer, retry, &runtime))))
}

/// The `diff_id` proves the bytes of a file as well as the digest would, so they are hashed once.
fn open_file(layout: &Layout, layer: &Descriptor) -> io::Result<Box<dyn Read + Send>> {
    let file = layout.blob_file(&layer.digest).map_err(io::Error::other)?;
    Ok(Box::new(file))
}

/// Starts to read the blob; its digest is verified at the end.
fn receive(
    source: Arc<dyn Source>,
    layer: Descriptor,
    retry: RetryPolicy,
    runtime: &Handle,
) -> Arriving {
    let (sender, pieces) = sync_channel(WAITING);
    let inside = runtime.clone();
    runtime.spawn_blocking(move || {
        let gone = || Error::new(ErrorKind::Interrupted, "unpack");
        let mut hand_over =
            |piece: &[u8]| sender.send(Ok(Bytes::copy_from_slice(piece))).map_err(|_| gone());
        let options = Options { retry, ..Options::default() };
        if let Err(error) = inside.block_on(read_blob(&*source, &layer, options, &mut hand_over)) {
            // Nobody hears of it where nobody wants more.
            drop(sender.send(Err(error)));
        }
    });
    Arriving { pieces, piece: Bytes::new() }
}

/// A blob that another thread reads.
struct Arriving {
    pieces: Receiver<Result<Bytes>>,
    piece: Bytes,
}

impl Read for Arriving {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.piece = piece.map_err(io::Error::other)?,
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::Interrupted.into()),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let length = self.piece.len().min(into.len());
        let part = self.piece.split_to(length);
        if let Some(into) = into.get_mut(..length) {
            into.copy_from_slice(&part);
        }
        Ok(length)
    }
}
