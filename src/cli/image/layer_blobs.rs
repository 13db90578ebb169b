//! An image's layers as readers for decompression: files of a layout, or blobs that are still arriving.

use std::io::{self, Read};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::open::OpenedImage;
use crate::control::Control;
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
) -> Result<Vec<LayerBlob<'static>>> {
    let open = |layer: &Descriptor| open_layer(image, layer.clone(), retry);
    LayerBlob::from_image(&image.opened.reference, image.manifest()?, &image.config, open)
}

fn open_layer(image: &OpenedImage, layer: Descriptor, retry: RetryPolicy) -> OpenBlob<'static> {
    if let Some(arriving) = &image.arriving {
        let open = arriving.opener(layer);
        return Box::new(move |stop| Ok(Box::new(open(stop))));
    }
    if let Some(layout) = image.opened.layout.as_ref().map(Arc::clone) {
        return Box::new(move |_| open_file(&layout, &layer));
    }
    let (source, runtime) = (Arc::clone(&image.opened.source), Handle::current());
    Box::new(move |stop| {
        let control = Control { cancel: stop.clone(), ..Control::default() };
        let options = TransferOptions { retry, control, ..TransferOptions::default() };
        Ok(Box::new(ReceivedBlob::begin(source, layer, options, &runtime)))
    })
}

/// Opens the file without verifying its digest: the `diff_id` is verified anyway, so the bytes are hashed once.
fn open_file(layout: &Layout, layer: &Descriptor) -> io::Result<Box<dyn Read + Send>> {
    let file = layout.blob_file(&layer.digest).map_err(io::Error::other)?;
    Ok(Box::new(file))
}
