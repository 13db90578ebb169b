//! An image's layers as readers for decompression: files of a layout, or blobs that are still arriving.

use std::io::{self, Read};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::open::OpenedImage;
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::image_layers::{LayerBlob, OpenBlob};
use crate::layout::Layout;
use crate::retry::RetryPolicy;
use crate::transfer::{ReceivedBlob, TransferOptions};

/// Returns the layers of an image, base first.
///
/// # Errors
/// As [`LayerBlob::from_image`].
pub(in crate::cli) fn layer_blobs(
    image: &OpenedImage,
    retry: RetryPolicy,
    cancel: &CancellationToken,
) -> Result<Vec<LayerBlob<'static>>> {
    let open = |layer: &Descriptor| open_layer(image, layer.clone(), retry, cancel);
    LayerBlob::from_image(&image.opened.reference, image.manifest()?, &image.config, open)
}

fn open_layer(
    image: &OpenedImage,
    layer: Descriptor,
    retry: RetryPolicy,
    cancel: &CancellationToken,
) -> OpenBlob<'static> {
    if let Some(arriving) = &image.arriving {
        let open = arriving.opener(layer);
        return Box::new(move |stop| {
            let blob = open();
            stop.on_stop(blob.leaver());
            Ok(Box::new(blob))
        });
    }
    if let Some(layout) = image.opened.layout.as_ref().map(Arc::clone) {
        return Box::new(move |_| open_file(&layout, &layer));
    }
    let (source, runtime) = (Arc::clone(&image.opened.source), Handle::current());
    let options = TransferOptions { retry, cancel: cancel.clone(), ..TransferOptions::default() };
    Box::new(move |stop| {
        let blob = ReceivedBlob::begin(source, layer, options, &runtime);
        stop.on_stop(blob.leaver());
        Ok(Box::new(blob))
    })
}

/// Opens the file without verifying its digest: the `diff_id` is verified anyway, so the bytes are hashed once.
fn open_file(layout: &Layout, layer: &Descriptor) -> io::Result<Box<dyn Read + Send>> {
    let file = layout.blob_file(&layer.digest).map_err(io::Error::other)?;
    Ok(Box::new(file))
}
