//! The inventory of a layout: blobs that its images reference and that exist.

use std::collections::BTreeSet;

use super::reach::Reachable;
use super::{Layout, blobs};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Result;

impl Layout {
    /// Every existing document, config and layer of its images, once each, in order.
    ///
    /// Unreferenced blobs are not listed: the next prune deletes them.
    pub fn inventory(&self) -> Result<BTreeSet<Digest>> {
        let mut present = BTreeSet::new();
        for entry in self.entries()? {
            for Descriptor { digest, .. } in Reachable::from_entry(self.root(), &entry).required {
                if blobs::blob_size(self.root(), &digest)?.is_some() {
                    present.insert(digest);
                }
            }
        }
        Ok(present)
    }
}
