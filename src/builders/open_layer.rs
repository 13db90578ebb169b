//! Opens a layer for decompression, from any source.

use std::io::{self, Read};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::opened::OpenedLocation;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::image_layers::OpenBlob;
use crate::layout::Layout;
use crate::retry::RetryPolicy;
use crate::transfer::{ReceivedBlob, TransferOptions};

/// Opens a layer: its file in a layout, else a stream of its bytes.
pub(crate) fn open_layer(
    image: &OpenedLocation,
    layer: Descriptor,
    retry: RetryPolicy,
) -> OpenBlob<'static> {
    if let Some(layout) = image.layout.as_ref().map(Arc::clone) {
        return Box::new(move |_| open_file(&layout, &layer));
    }
    let (source, runtime) = (Arc::clone(&image.source), Handle::current());
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
