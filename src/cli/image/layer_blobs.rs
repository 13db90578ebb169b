//! An image's layers as readers for decompression: files of a layout, or blobs that are still arriving.

use super::open::OpenedImage;
use crate::builders::open_layer;
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::image_layers::{LayerBlob, LayerOpener};
use crate::retry::RetryPolicy;

/// Returns the layers of an image, base first.
///
/// # Errors
/// As [`LayerBlob::from_image`].
pub(in crate::cli) fn layer_blobs(
    image: &OpenedImage,
    retry: RetryPolicy,
) -> Result<Vec<LayerBlob<'static>>> {
    let open = |layer: &Descriptor| opener(image, layer.clone(), retry);
    LayerBlob::from_image(&image.opened.reference, image.manifest()?, &image.config, open)
}

fn opener(image: &OpenedImage, layer: Descriptor, retry: RetryPolicy) -> LayerOpener<'static> {
    if let Some(arriving) = &image.arriving {
        let open = arriving.opener(layer);
        return Box::new(move |stop| Ok(Box::new(open(stop))));
    }
    open_layer(&image.opened, layer, retry)
}
