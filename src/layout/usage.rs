//! What a layout takes on disk, together and of each image.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::Layout;
use super::prune::files;
use super::reach::Reachable;
use crate::digest::Digest;
use crate::error::Result;
use crate::sharing::{ImageSize, SharedSizes};

/// What an image takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageUsage {
    /// Its name; `<none>` where it has none.
    pub reference: String,
    /// What the name stands for.
    pub digest: Digest,
    /// Bytes of all that it needs and that is there, documents too.
    pub size: u64,
    /// Those that other images need too.
    pub shared: u64,
    /// Those that go with it.
    pub unique: u64,
}

/// What a layout takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayoutUsage {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// Blobs and documents that are there.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that some image needs.
    pub referenced: u64,
    /// Bytes that none needs: what [`Layout::prune`] frees.
    pub unreferenced: u64,
    /// Bytes that arrived of blobs which are not whole.
    pub partial: u64,
}

impl Layout {
    /// What is there, and for whom. What cannot be read of an image is told by [`Layout::verify`].
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] where the layout cannot be read.
    pub fn usage(&self) -> Result<LayoutUsage> {
        let blobs = self.all_blobs()?;
        let sizes: HashMap<_, _> = blobs.into_iter().map(|blob| (blob.digest, blob.size)).collect();
        let entries = self.entries()?;
        let reached: Vec<HashSet<_>> = entries
            .iter()
            .map(|entry| Ok(Reachable::from_entry(self.root(), entry)?.retained))
            .collect::<Result<_>>()?;
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
