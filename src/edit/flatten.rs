//! Makes one layer of all layers of an image.

use std::io::Write as _;

use super::history::Step;
use super::image::ImageEdit;
use super::layer_file::{LayerWriter, NewLayer};
use crate::blob_file::spool_failed;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::flatten::Tree;
use crate::image_layers::{LayerBlob, LayerOpener};
use crate::layer::Compression;

impl ImageEdit {
    /// The layers of the image before any change, opened by `open`, to [flatten](NewLayer::from_tree) them.
    ///
    /// # Errors
    /// As [`LayerBlob::from_image`].
    pub fn layer_blobs<'a>(
        &self,
        open: impl Fn(&Descriptor) -> LayerOpener<'a>,
    ) -> Result<Vec<LayerBlob<'a>>> {
        LayerBlob::from_image(&self.reference, self.parsed()?, &self.config, open)
    }

    /// Replaces all layers by one that was made of them. The history becomes one step, and the image has no base.
    ///
    /// # Errors
    /// As [`ImageEdit::append`].
    pub fn flatten(&mut self, layer: NewLayer, created_by: &str) -> Result<()> {
        // The files are as old as the image, so that the same image gives the same result.
        let created = self.config.created.clone();
        self.remove_base()?;
        self.replace_layers(layer, &Step { created_by: created_by.to_owned(), created })
    }
}

impl NewLayer {
    /// A layer of a tree. `layers` are those that it was [read](Tree::read) from. Blocks.
    ///
    /// # Errors
    /// As [`Tree::write`], and if the temporary file cannot be written.
    pub fn from_tree(
        tree: &Tree,
        layers: Vec<LayerBlob<'_>>,
        compression: Compression,
        control: &Control,
    ) -> Result<Self> {
        let mut writer = LayerWriter::new(compression)?;
        tree.write(layers, control, &mut |bytes| writer.write_all(bytes).map_err(spool_failed))?;
        writer.finish()
    }
}
