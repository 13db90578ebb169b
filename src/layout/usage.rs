//! Disk usage of a layout, in total and per image.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::Layout;
use super::io::files;
use super::reach::Reachable;
use crate::digest::Digest;
use crate::error::Result;
use crate::sharing::{ImageSize, SharedSizes};

/// Disk usage of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImageUsage {
    /// Its name; `<none>` without one.
    pub reference: String,
    /// Digest that the name points to.
    pub digest: Digest,
    /// Bytes of all existing blobs it references, documents included.
    pub size: u64,
    /// Bytes that other images reference, too.
    pub shared: u64,
    /// Bytes that only this image references.
    pub unique: u64,
}

/// Disk usage of a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayoutUsage {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// Number of existing blobs and documents.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Referenced bytes.
    pub referenced: u64,
    /// Unreferenced bytes: [`Layout::prune`] frees them.
    pub unreferenced: u64,
    /// Bytes of partial blobs.
    pub partial: u64,
}

impl Layout {
    /// Computes the disk usage. Unreadable documents are ignored; [`Layout::verify`] reports them.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] if the layout cannot be read.
    pub fn usage(&self) -> Result<LayoutUsage> {
        let blobs = self.all_blobs()?;
        let sizes: HashMap<_, _> = blobs.into_iter().map(|blob| (blob.digest, blob.size)).collect();
        let entries = self.entries()?;
        let reached: Vec<HashSet<_>> = entries
            .iter()
            .map(|entry| Reachable::from_entry(self.root(), entry).retained)
            .collect();
        let sharing = SharedSizes::new(&sizes, reached.iter().flatten());
        let image = |(entry, kept): (&super::IndexEntry, _)| {
            let ImageSize { size, unique } = sharing.share(kept);
            let reference = entry.names.first().cloned().unwrap_or_else(|| "<none>".to_owned());
            ImageUsage { reference, digest: entry.digest(), size, shared: size - unique, unique }
        };
        let mut images: Vec<_> = entries.iter().zip(&reached).map(image).collect();
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        let (bytes, referenced) = (sharing.all(), sharing.referenced());
        Ok(LayoutUsage {
            images,
            blobs: sizes.len() as u64,
            bytes,
            referenced,
            unreferenced: bytes - referenced,
            partial: files(&self.root().join("ingest"))?.iter().map(|(_, size)| size).sum(),
        })
    }
}
