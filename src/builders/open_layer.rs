//! Opens a layer for decompression, from any source.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::opened::OpenedLocation;
use crate::content::Source;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::image_layers::LayerOpener;
use crate::layout::Layout;
use crate::retry::RetryPolicy;
use crate::transfer::{ReceivedBlob, TransferOptions};

/// Opens a layer: its file in a layout, else a stream of its bytes.
pub(crate) fn open_layer(
    image: &OpenedLocation,
    layer: Descriptor,
    retry: RetryPolicy,
) -> LayerOpener<'static> {
    match &image.layout {
        Some(layout) => open_stored(Arc::clone(layout), layer.digest),
        None => open_streamed(Arc::clone(&image.source), layer, retry),
    }
}

/// Opens a layer as a stream from its source.
pub(crate) fn open_streamed(
    source: Arc<dyn Source>,
    layer: Descriptor,
    retry: RetryPolicy,
) -> LayerOpener<'static> {
    let runtime = Handle::current();
    Box::new(move |stop| {
        let control = Control { cancel: stop.clone(), ..Control::default() };
        let options = TransferOptions { retry, control, ..TransferOptions::default() };
        Ok(Box::new(ReceivedBlob::begin(source, layer, options, &runtime)))
    })
}

/// Opens the file of a layer without verifying its digest: the `diff_id` is verified anyway, so the bytes are hashed once.
pub(crate) fn open_stored(layout: Arc<Layout>, layer: Digest) -> LayerOpener<'static> {
    Box::new(move |_| {
        let file = layout.blob_file(&layer).map_err(io::Error::other)?;
        Ok(Box::new(file))
    })
}
