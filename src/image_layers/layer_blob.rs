//! A layer to be read: how to open its blob, and its expected `diff_id`.

use std::fmt;
use std::io::{self, Read};

use tokio_util::sync::CancellationToken;

use crate::config::ImageConfig;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::ImageManifest;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::UnsupportedFormat;
use crate::setters::setters;

/// Opens the blob of a layer.
pub type LayerOpener<'a> =
    Box<dyn FnOnce(&CancellationToken) -> io::Result<Box<dyn Read + Send>> + Send + 'a>;

/// A layer to be read.
#[non_exhaustive]
pub struct LayerBlob<'a> {
    /// Its name in errors.
    pub name: String,
    /// Expected digest of the uncompressed layer.
    pub diff_id: Digest,
    /// Approximate work in bytes of the blob: large layers are started early.
    pub size: u64,
    /// Whether the blob may be opened and then left waiting while lower layers are read, as a file may. Several layers are
    /// read concurrently only if all may wait.
    pub can_wait: bool,
    /// Opens the blob in any compression. Runs on another thread, possibly before lower layers and concurrently with
    /// others. A reader that waits for bytes must stop waiting when the token is cancelled.
    pub open: LayerOpener<'a>,
}

impl fmt::Debug for LayerBlob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerBlob").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> LayerBlob<'a> {
    /// A layer that `open` opens; the fields say what the parameters are.
    pub fn new(name: impl Into<String>, diff_id: Digest, size: u64, open: LayerOpener<'a>) -> Self {
        Self { name: name.into(), diff_id, size, can_wait: false, open }
    }

    setters! {
        flag can_wait;
    }

    /// The layers of an image, base first, opened by `open`; `image` is its name in errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] if the config does not have one `diff_id` per layer, [`ErrorKind::Unsupported`]
    /// for an encrypted layer or a Windows image.
    pub fn from_image(
        image: &str,
        manifest: &ImageManifest,
        config: &ImageConfig,
        open: impl Fn(&Descriptor) -> LayerOpener<'a>,
    ) -> Result<Vec<Self>> {
        let error = |kind, reason: String| Err(Error::new(kind, image).with_reason(reason));
        if config.os == "windows" {
            return error(ErrorKind::Unsupported, "is an image for Windows".to_owned());
        }
        Self::check_types(image, manifest)?;
        let (layers, diff_ids) = (&manifest.layers, &config.rootfs.diff_ids);
        if layers.len() != diff_ids.len() {
            let reason = format!("has {} layers and {} diff_ids", layers.len(), diff_ids.len());
            return error(ErrorKind::InvalidDocument, reason);
        }
        let blob = |(layer, diff_id): (&Descriptor, &Digest)| LayerBlob {
            name: format!("layer {}", layer.digest),
            diff_id: diff_id.clone(),
            size: layer.size,
            can_wait: false,
            open: open(layer),
        };
        Ok(layers.iter().zip(diff_ids).map(blob).collect())
    }

    /// Checks that no layer has a known unsupported type; `image` is its name in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] naming the layer.
    pub fn check_types(image: &str, manifest: &ImageManifest) -> Result<()> {
        for layer in &manifest.layers {
            let media_type = layer.media_type.as_str();
            let reason = if media_type.ends_with("+encrypted") {
                "is encrypted".to_owned()
            } else if let Some(unsupported) = UnsupportedFormat::from_media_type(media_type) {
                format!("{unsupported}, which rpull does not read")
            } else {
                continue;
            };
            let reason = format!("layer {} {reason}", layer.digest);
            return Err(Error::new(ErrorKind::Unsupported, image).with_reason(reason));
        }
        Ok(())
    }
}
