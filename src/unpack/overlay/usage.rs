//! Disk usage of an overlay directory, and pruning of unreferenced layers.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::directory::{OverlayDirectory, OverlayLock};
use super::images::OverlayImage;
use crate::digest::Digest;
use crate::error::Result;
use crate::sharing::{ImageSize, SharedSizes};

/// Disk usage of an image in an overlay directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OverlayImageUsage {
    /// The image's name in the overlay directory.
    pub reference: String,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Bytes of the files of its layers.
    pub size: u64,
    /// Bytes of layers that other images have too.
    pub shared: u64,
    /// Bytes of its other layers.
    pub unique: u64,
}

/// Disk usage of an overlay directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OverlayUsage {
    /// Usage of each image.
    pub images: Vec<OverlayImageUsage>,
    /// Number of complete layers.
    pub layers: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Bytes of layers that no image needs.
    pub unreferenced: u64,
}

/// What pruning freed, or would free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverlayPruneReport {
    /// Number of unreferenced layers.
    pub layers: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

impl OverlayDirectory {
    /// Returns the disk usage, in total and per image.
    pub fn usage(&self) -> Result<OverlayUsage> {
        let sizes = self.sizes()?;
        let images = self.images()?;
        let sharing = SharedSizes::new(&sizes, images.values().flat_map(|image| &image.chains));
        let image_usage = |(reference, image): (&String, &OverlayImage)| {
            let ImageSize { size, unique } = sharing.share(&image.chains);
            let (reference, manifest) = (reference.clone(), image.manifest.clone());
            OverlayImageUsage { reference, manifest, size, shared: size - unique, unique }
        };
        Ok(OverlayUsage {
            images: images.iter().map(image_usage).collect(),
            layers: sizes.len() as u64,
            bytes: sharing.all(),
            unreferenced: sharing.all() - sharing.referenced(),
        })
    }

    /// Removes layers that are unreferenced and not mounted. Without a lock it only reports what it would remove.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Unpack`] if the references cannot be read. Nothing is removed then.
    pub fn prune(&self, lock: Option<&OverlayLock>) -> Result<OverlayPruneReport> {
        let images = self.images()?;
        let referenced: BTreeSet<_> = images.values().flat_map(|image| &image.chains).collect();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let sizes = self.sizes()?;
        let mut report = OverlayPruneReport::default();
        let failed = |error| self.failed(error);
        for chain in self.layers().map_err(failed)? {
            if referenced.contains(&chain) || Self::is_mounted(&mounts, &chain) {
                continue;
            }
            report.layers += 1;
            report.bytes += sizes.get(&chain).copied().unwrap_or_default();
            if lock.is_some() {
                self.remove_layer(&chain).map_err(failed)?;
            }
        }
        if lock.is_some() {
            self.sweep().map_err(failed)?;
        }
        Ok(report)
    }

    /// Returns the complete layers with their sizes.
    fn sizes(&self) -> Result<HashMap<Digest, u64>> {
        let mut sizes = HashMap::new();
        for chain in self.layers().map_err(|error| self.failed(error))? {
            if let Some(size) = self.size_of(&chain).map_err(|error| self.failed(error))? {
                sizes.insert(chain, size);
            }
        }
        Ok(sizes)
    }
}
