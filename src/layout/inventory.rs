//! What a layout can answer for: the blobs that its images need, and that are there.

use std::collections::BTreeSet;

use super::reach::Reachable;
use super::{Layout, blobs};
use crate::digest::Digest;
use crate::error::Result;

impl Layout {
    /// Every document, config and layer of its images that is there, each once, in order.
    ///
    /// What no image needs is not listed: the next prune takes it.
    pub fn inventory(&self) -> Result<BTreeSet<Digest>> {
        let mut held = BTreeSet::new();
        for entry in self.entries()? {
            for digest in Reachable::from_entry(self.root(), &entry)?.required {
                if blobs::blob_size(self.root(), &digest)?.is_some() {
                    held.insert(digest);
                }
            }
        }
        Ok(held)
    }
}
