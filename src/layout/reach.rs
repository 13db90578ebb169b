//! What a named entry needs: documents, configs and layers.

use std::collections::HashSet;

use super::Entry;
use super::blobs;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Content, DOCUMENT_LIMIT, Document};
use crate::error::{ErrorKind, Result};
use crate::layout::INDEX_ANNOTATION;
use std::path::Path;

/// Deeper than this nothing was ever pulled.
const MAX_DEPTH: usize = 16;

/// Everything below one entry that is or should be in the layout.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Kept, and needed where it is said so: an index may list platforms that were not pulled.
    pub(super) kept: HashSet<Digest>,
    /// What must be there.
    pub(super) needed: Vec<Digest>,
    /// Documents that are there but cannot be read, each with the reason.
    pub(super) unreadable: Vec<(Digest, String)>,
}

impl Reach {
    pub(super) fn of(root: &Path, entry: &Entry) -> Result<Self> {
        let mut reach = Self::default();
        // The index that the platform was chosen from stays, so that a later pull can see that nothing changed.
        if let Some(digest) = entry.descriptor.annotations.get(INDEX_ANNOTATION)
            && let Ok(digest) = digest.parse::<Digest>()
        {
            reach.kept.insert(digest);
        }
        reach.document(root, &entry.descriptor, true, 0)?;
        Ok(reach)
    }

    fn document(
        &mut self,
        root: &Path,
        descriptor: &Descriptor,
        required: bool,
        depth: usize,
    ) -> Result<()> {
        if descriptor.digest.algorithm().is_err() || !self.kept.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        let bytes = match blobs::read(root, &descriptor.digest, DOCUMENT_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound && !required => return Ok(()),
            Err(error) => {
                self.needed.push(descriptor.digest.clone());
                self.unreadable.push((descriptor.digest.clone(), error.why().to_owned()));
                return Ok(());
            }
        };
        self.needed.push(descriptor.digest.clone());
        match Document::described(bytes, descriptor) {
            // An artifact of some other kind: a blob with a name.
            Err(error)
                if error.kind() == ErrorKind::Document && !descriptor.media_type.is_document() => {}
            Err(error) => self.unreadable.push((descriptor.digest.clone(), error.why().to_owned())),
            Ok(document) => self.below(root, &document, depth)?,
        }
        Ok(())
    }

    fn below(&mut self, root: &Path, document: &Document, depth: usize) -> Result<()> {
        match document.content() {
            Content::Manifest(manifest) => {
                for blob in manifest.blobs() {
                    let here =
                        blob.digest.algorithm().is_ok() && self.kept.insert(blob.digest.clone());
                    if here && !blob.media_type.is_foreign() {
                        self.needed.push(blob.digest.clone());
                    }
                }
            }
            Content::Index(index) if depth < MAX_DEPTH => {
                for child in &index.manifests {
                    self.document(root, child, false, depth + 1)?;
                }
            }
            Content::Index(_) => {}
        }
        Ok(())
    }
}
