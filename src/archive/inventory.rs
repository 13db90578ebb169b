//! Lists the blobs that a store has after loading an archive.

use std::collections::BTreeSet;

use super::image::ImageContent;
use super::reader::{Archive, ArchiveInner};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, TreeWalk};
use crate::error::{ErrorKind, Result};

impl Archive {
    /// Every document and blob that its images reference: a store that loaded it has them all.
    ///
    /// May have to decompress layers to compute their digests.
    pub fn digests(&self) -> Result<BTreeSet<Digest>> {
        let mut inventory =
            Inventory { archive: &self.0, walk: TreeWalk::default(), digests: BTreeSet::new() };
        let control = &self.0.control;
        for image in &self.0.images {
            match &image.content {
                ImageContent::Document(root) if root.media_type.is_document() => {
                    inventory.walk.queue(0, [root.clone()]);
                }
                ImageContent::Document(_) => {}
                ImageContent::DockerFiles(docker_image) => {
                    inventory.add(&docker_image.build(&self.0.tar, control)?.document, 0);
                }
            }
        }
        while let Some(step) = inventory.walk.next_step() {
            match self.0.read_document(&step.item, control) {
                Ok(document) => inventory.add(&document, step.depth),
                // Of another platform.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(inventory.digests)
    }
}

struct Inventory<'a> {
    archive: &'a ArchiveInner,
    walk: TreeWalk<Descriptor>,
    digests: BTreeSet<Digest>,
}

impl Inventory<'_> {
    fn add(&mut self, document: &Document, depth: usize) {
        self.digests.insert(document.digest().clone());
        // A foreign layer is not in the archive unless it was requested.
        let comes = |blob: &&Descriptor| !blob.is_foreign() || self.archive.has(&blob.digest);
        self.digests.extend(document.blobs().filter(comes).map(|blob| blob.digest.clone()));
        self.walk.queue(depth + 1, document.children().cloned());
    }
}
