//! Blobs that a store has after loading an archive.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::{Archive, ArchiveInner, ImageContent};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ParsedDocument};
use crate::error::{ErrorKind, Result};

impl Archive {
    /// Every document and blob that its images reference: a store that loaded it has them all.
    ///
    /// May have to decompress layers to learn what they are.
    pub fn digests(&self) -> Result<BTreeSet<Digest>> {
        let (mut walk, stop) = (DigestWalk::default(), CancellationToken::new());
        for image in &self.0.images {
            match &image.content {
                ImageContent::Document(root) => walk.visit_all(std::iter::once(root)),
                ImageContent::DockerFiles(recipe) => {
                    walk.look_into(&recipe.build(&self.0.tar, &stop)?.document, &self.0);
                }
            }
        }
        while let Some(descriptor) = walk.left.pop() {
            match self.0.read_document(&descriptor, &stop) {
                Ok(document) => walk.look_into(&document, &self.0),
                // Another platform's.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(walk.digests)
    }
}

/// What images name.
#[derive(Default)]
struct DigestWalk {
    digests: BTreeSet<Digest>,
    /// Manifests and indexes that were met, apart from blobs: one may be listed as both.
    seen: BTreeSet<Digest>,
    /// Those that were not looked into yet.
    left: Vec<Descriptor>,
}

impl DigestWalk {
    fn visit_all<'a>(&mut self, documents: impl Iterator<Item = &'a Descriptor>) {
        let new = |one: &&Descriptor| {
            one.media_type.is_document() && self.seen.insert(one.digest.clone())
        };
        self.left.extend(documents.filter(new).cloned());
    }

    fn look_into(&mut self, document: &Document, archive: &ArchiveInner) {
        self.digests.insert(document.digest().clone());
        // A foreign layer is not in the archive unless it was requested.
        let comes = |blob: &&Descriptor| !blob.is_foreign() || archive.has(&blob.digest);
        self.digests.extend(document.blobs().filter(comes).map(|blob| blob.digest.clone()));
        if let ParsedDocument::Index(index) = document.parsed() {
            self.visit_all(index.manifests.iter());
        }
    }
}
