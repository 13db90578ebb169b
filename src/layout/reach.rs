//! Everything reachable from a named entry: documents, configs and layers.

use std::collections::HashSet;

use super::IndexEntry;
use super::blobs;
use super::digest_scan::find_digests;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document, ParsedDocument};
use crate::error::{ErrorKind, Result};
use crate::layout::INDEX_ANNOTATION;
use std::path::Path;

/// Indexes are never pulled deeper than this.
const MAX_DEPTH: usize = 16;

/// Everything reachable from one entry that is or should be in the layout.
#[derive(Debug, Default)]
pub(super) struct Reachable {
    /// Documents and blobs to retain, required or not: an index may list platforms that were not pulled.
    pub(super) retained: HashSet<Digest>,
    /// Required blobs.
    pub(super) required: Vec<Digest>,
    /// Existing documents that cannot be read, each with the reason.
    pub(super) unreadable: Vec<(Digest, String)>,
    /// Documents that were parsed. A retained digest may have been seen only as a blob.
    walked: HashSet<Digest>,
}

impl Reachable {
    pub(super) fn from_entry(root: &Path, entry: &IndexEntry) -> Result<Self> {
        let mut reach = Self::default();
        // Retain the index that the manifest was selected from, so that a later pull can see that nothing changed.
        if let Some(digest) = entry.descriptor.annotations.get(INDEX_ANNOTATION)
            && let Ok(digest) = digest.parse::<Digest>()
        {
            reach.retained.insert(digest);
        }
        reach.visit_document(root, &entry.descriptor, true, 0)?;
        Ok(reach)
    }

    fn visit_document(
        &mut self,
        root: &Path,
        descriptor: &Descriptor,
        required: bool,
        depth: usize,
    ) -> Result<()> {
        let digest = &descriptor.digest;
        if let Err(error) = digest.algorithm() {
            // It cannot be parsed, but it may reference blobs that exist.
            if required || blobs::exists_unverifiable(root, digest) {
                self.unreadable.push((digest.clone(), error.reason().to_owned()));
            }
            return Ok(());
        }
        self.retained.insert(digest.clone());
        if !self.walked.insert(digest.clone()) {
            return Ok(());
        }
        let bytes = match blobs::read(root, digest, DOCUMENT_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound && !required => return Ok(()),
            // Too large for a document: a named blob.
            Err(error)
                if error.kind() == ErrorKind::InvalidDocument
                    && !descriptor.media_type.is_document() =>
            {
                self.required.push(digest.clone());
                return Ok(());
            }
            Err(error) => {
                self.required.push(digest.clone());
                self.unreadable.push((digest.clone(), error.reason().to_owned()));
                return Ok(());
            }
        };
        self.required.push(digest.clone());
        match Document::from_descriptor(bytes.clone(), descriptor) {
            // An artifact of an unknown kind.
            Err(error)
                if error.kind() == ErrorKind::InvalidDocument
                    && !descriptor.media_type.is_document() => {}
            Err(error) => self.unreadable.push((digest.clone(), error.reason().to_owned())),
            Ok(document) => self.visit_children(root, &document, depth)?,
        }
        if !descriptor.media_type.is_document() {
            self.visit_mentions(root, &bytes);
        }
        Ok(())
    }

    fn visit_children(&mut self, root: &Path, document: &Document, depth: usize) -> Result<()> {
        match document.parsed() {
            ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => {
                document.blobs().for_each(|blob| self.blob(blob));
            }
            ParsedDocument::Index(index) if depth < MAX_DEPTH => {
                for child in &index.manifests {
                    self.visit_document(root, child, false, depth + 1)?;
                }
                // An entry for a platform may not have been pulled, like the manifest of that platform.
                let for_all = index.blobs().filter(|blob| blob.platform.is_none());
                let here = for_all.filter(|blob| !blob.is_foreign());
                let known = here.filter(|blob| blob.digest.algorithm().is_ok());
                self.required.extend(known.map(|blob| blob.digest.clone()));
            }
            ParsedDocument::Index(_) => self.visit_mentions(root, document.bytes()),
        }
        Ok(())
    }

    fn blob(&mut self, blob: &Descriptor) {
        let here = blob.digest.algorithm().is_ok() && self.retained.insert(blob.digest.clone());
        if here && !blob.is_foreign() {
            self.required.push(blob.digest.clone());
        }
    }

    /// Retains every digest that a document of unknown type mentions, recursively.
    fn visit_mentions(&mut self, root: &Path, bytes: &[u8]) {
        let mut open = find_digests(bytes);
        // A retained digest may not have been parsed yet.
        let mut seen = HashSet::new();
        while let Some(digest) = open.pop() {
            if !seen.insert(digest.clone()) {
                continue;
            }
            self.retained.insert(digest.clone());
            match blobs::read(root, &digest, DOCUMENT_LIMIT) {
                Ok(bytes) if bytes.trim_ascii_start().starts_with(b"{") => {
                    open.extend(find_digests(&bytes));
                }
                // A layer, or a blob that is not in this layout.
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidDocument) => {
                }
                Err(error) => self.unreadable.push((digest, error.reason().to_owned())),
            }
        }
    }
}
