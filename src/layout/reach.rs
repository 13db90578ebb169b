//! Everything reachable from a named entry: documents, configs and layers.

use std::collections::HashSet;
use std::path::Path;

use super::IndexEntry;
use super::blobs;
use super::digest_scan::find_digests;
use super::entry::index_digest;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document, ParsedDocument, TreeWalk, WalkStep};
use crate::error::ErrorKind;

/// Depth at which indexes are no longer parsed, but searched for digests. They are never pulled this deep.
const MAX_DEPTH: usize = 16;

/// Everything reachable from one entry that is or should be in the layout.
#[derive(Debug, Default)]
pub(super) struct Reachable {
    /// Documents and blobs to retain, required or not: an index may list platforms that were not pulled.
    pub(super) retained: HashSet<Digest>,
    /// Required blobs.
    pub(super) required: Vec<Descriptor>,
    /// The documents among them that could be read.
    pub(super) documents: Vec<Document>,
    /// Existing documents that cannot be read, each with the reason.
    pub(super) unreadable: Vec<(Digest, String)>,
}

impl Reachable {
    pub(super) fn from_entry(root: &Path, entry: &IndexEntry) -> Self {
        let mut reach = Self::default();
        // Retain the index that the manifest was selected from, so that a later pull can see that nothing changed.
        reach.retained.extend(index_digest(&entry.descriptor));
        let mut walk = TreeWalk::default();
        walk.queue(0, [entry.descriptor.clone()]);
        while let Some(WalkStep { item, depth }) = walk.next_step() {
            let Some(document) = reach.visit(root, &item, depth == 0) else { continue };
            if depth >= MAX_DEPTH && !document.entries().is_empty() {
                reach.visit_mentions(root, document.bytes());
                continue;
            }
            // Whatever the media type: an entry of an index may still be a document.
            walk.queue(depth + 1, document.entries().iter().cloned());
            reach.add_blobs(&document);
            reach.documents.push(document);
        }
        reach
    }

    /// A line about each document of the entry that cannot be read.
    pub(super) fn unreadable_lines(&self, entry: &IndexEntry) -> impl Iterator<Item = String> {
        let name = entry.names.first().map_or("an image without a name", String::as_str);
        self.unreadable.iter().map(move |(digest, reason)| {
            format!("failed to read manifest {digest} of {name} ({reason})")
        })
    }

    /// Reads what an entry or an index lists, if it is a document.
    fn visit(
        &mut self,
        root: &Path,
        descriptor: &Descriptor,
        is_required: bool,
    ) -> Option<Document> {
        let digest = &descriptor.digest;
        let is_document = descriptor.media_type.is_document();
        if let Err(error) = digest.algorithm() {
            // It cannot be parsed, but it may reference existing blobs.
            if is_required || blobs::exists_unverifiable(root, digest) {
                self.unreadable.push((digest.clone(), error.reason().to_owned()));
            }
            return None;
        }
        self.retained.insert(digest.clone());
        let read = blobs::read(root, digest, DOCUMENT_LIMIT);
        if let Err(error) = &read
            && error.kind() == ErrorKind::NotFound
            && !is_required
        {
            return None;
        }
        self.required.push(descriptor.clone());
        let parsed = read.and_then(|bytes| {
            if !is_document {
                self.visit_mentions(root, &bytes);
            }
            Document::from_descriptor(bytes, descriptor)
        });
        match parsed {
            Ok(document) => Some(document),
            // A named blob: too large for a document, or an artifact of an unknown kind.
            Err(error) if error.kind() == ErrorKind::InvalidDocument && !is_document => None,
            Err(error) => {
                self.unreadable.push((digest.clone(), error.reason().to_owned()));
                None
            }
        }
    }

    fn add_blobs(&mut self, document: &Document) {
        match document.parsed() {
            ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => {
                document.blobs().for_each(|blob| self.blob(blob));
            }
            ParsedDocument::Index(index) => {
                // An entry for a platform may not have been pulled, like the manifest of that platform.
                let for_all = index.blobs().filter(|blob| blob.platform.is_none());
                let here = for_all.filter(|blob| !blob.is_foreign());
                let known = here.filter(|blob| blob.digest.algorithm().is_ok());
                self.required.extend(known.cloned());
            }
        }
    }

    fn blob(&mut self, blob: &Descriptor) {
        let here = blob.digest.algorithm().is_ok() && self.retained.insert(blob.digest.clone());
        if here && !blob.is_foreign() {
            self.required.push(blob.clone());
        }
    }

    /// Retains every digest that a document of unknown type mentions, recursively.
    fn visit_mentions(&mut self, root: &Path, bytes: &[u8]) {
        // A retained digest may not have been parsed yet.
        let mut walk = TreeWalk::default();
        walk.queue(0, find_digests(bytes));
        while let Some(WalkStep { item: digest, depth }) = walk.next_step() {
            self.retained.insert(digest.clone());
            match blobs::read(root, &digest, DOCUMENT_LIMIT) {
                Ok(bytes) if bytes.trim_ascii_start().starts_with(b"{") => {
                    walk.queue(depth + 1, find_digests(&bytes));
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
