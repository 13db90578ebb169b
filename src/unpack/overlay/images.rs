//! `images.json`: the images that an overlay directory is used for.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::directory::{OverlayDirectory, OverlayLock};
use super::files;
use crate::atomic_file::{self, Fsync};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

const IMAGES_FILE_NAME: &str = "images.json";

/// An image and its layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OverlayImage {
    /// Digest of the platform's manifest.
    pub manifest: Digest,
    /// The chain id of each layer, base first.
    pub chains: Vec<Digest>,
}

impl OverlayDirectory {
    /// Returns the images by name. Their layers are kept.
    ///
    /// # Errors
    /// [`ErrorKind::Unpack`] if the list is damaged. Nothing may be removed then.
    pub fn images(&self) -> Result<BTreeMap<String, OverlayImage>> {
        let read = files::read(self.handle(), IMAGES_FILE_NAME.as_bytes());
        let Some(bytes) = read.map_err(|error| self.failed(error))? else {
            return Ok(BTreeMap::new());
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(ErrorKind::Unpack, "overlay")
                .at(self.path().join(IMAGES_FILE_NAME).display().to_string())
                .with_reason("is corrupt")
                .with_source(error)
        })
    }

    /// Records an image, so that its layers are kept. It replaces another image with this name.
    pub fn set_image(&self, _lock: &OverlayLock, name: &str, image: OverlayImage) -> Result<()> {
        let mut images = self.images()?;
        images.insert(name.to_owned(), image);
        self.write_images(&images)
    }

    /// Removes an image. Returns whether it existed. [`OverlayDirectory::prune`] frees the space of its layers.
    pub fn remove_image(&self, _lock: &OverlayLock, name: &str) -> Result<bool> {
        let mut images = self.images()?;
        if images.remove(name).is_none() {
            return Ok(false);
        }
        self.write_images(&images).map(|()| true)
    }

    fn write_images(&self, images: &BTreeMap<String, OverlayImage>) -> Result<()> {
        let written =
            serde_json::to_vec_pretty(images).map_err(std::io::Error::from).and_then(|bytes| {
                let name = Path::new(IMAGES_FILE_NAME);
                atomic_file::replace(self.handle(), name, &bytes, Fsync::FileAndDir)
            });
        written.map_err(|error| self.failed(error))
    }
}
