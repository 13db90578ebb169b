//! Reads the layers of an image once, and analyzes them.

use std::cell::RefCell;

use super::open::OpenedImage;
use crate::control::Control;
use crate::error::Result;
use crate::image_layers::LayerBlob;
use crate::insight::analyze::{Analysis, Analyzer, StoredAs};
use crate::insight::files::{Change, LayerTotals, read_layers_with_heads};

/// Returns the analyzer for an image.
pub(in crate::cli) fn analyzer(image: &OpenedImage) -> Result<Analyzer> {
    let is_plain = image.opened.source.endpoint().has_plain_layers;
    let stored_as = if is_plain { StoredAs::PlainTars } else { StoredAs::Blobs };
    Ok(Analyzer::new(image.manifest()?, &image.config, stored_as))
}

/// Returns the analysis, and the uncompressed size of each layer. Passes changes and totals of the layers on. Blocks.
pub(in crate::cli) fn analyze_layers(
    mut analyzer: Analyzer,
    layers: Vec<LayerBlob<'_>>,
    control: &Control,
    mut visit: impl FnMut(usize, &Change<'_>),
    mut end: impl FnMut(usize, &LayerTotals),
) -> Result<(Analysis, Vec<u64>)> {
    let shared = RefCell::new(&mut analyzer);
    let (tree, sizes) = read_layers_with_heads(
        layers,
        control,
        |layer, content, size, head| shared.borrow_mut().head(layer, content, size, head),
        |layer, change| {
            shared.borrow_mut().change(layer, change);
            visit(layer, change);
            Ok(())
        },
        |layer, totals| {
            shared.borrow_mut().end_layer(&totals);
            end(layer, &totals);
            Ok(())
        },
    )?;
    Ok((analyzer.finish(&tree, &sizes), sizes))
}
