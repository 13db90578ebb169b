//! What a run tells a target before it writes.

use std::collections::HashSet;

use super::BlobPresence;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ParsedDocument};
use crate::name::ImageName;

/// What a run will write. An empty plan is legal: giving another tag, a server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TargetPlan<'a> {
    /// Manifests and indexes, each once, children before parents; with the index that a root was chosen from.
    pub documents: Vec<&'a Document>,
    /// Blobs that will be opened, in the order in which the images list them, with what the target has of each. A target that
    /// is not sequential takes other blobs too.
    pub blobs: Vec<(&'a Descriptor, BlobPresence)>,
    /// Every name that will be given, with the manifest that gets it.
    pub names: Vec<(&'a Digest, &'a ImageName)>,
    /// Manifests may name content that is missing and does not come: a registry with a part of its images.
    pub sparse: bool,
}

impl<'a> TargetPlan<'a> {
    /// Documents that the names lead to, children before parents: not the index that a root was only chosen from.
    pub fn named_documents(&self) -> Vec<&'a Document> {
        let mut named: HashSet<&Digest> = self.names.iter().map(|(digest, _)| *digest).collect();
        let mut documents = Vec::new();
        for document in self.documents.iter().rev().copied() {
            if !named.contains(document.digest()) {
                continue;
            }
            if let ParsedDocument::Index(index) = document.content() {
                named.extend(index.manifests.iter().map(|child| &child.digest));
            }
            documents.push(document);
        }
        documents.reverse();
        documents
    }

    /// Bytes of blobs that are still to come.
    pub fn remaining_bytes(&self) -> u64 {
        let remaining = |(descriptor, presence): &(&Descriptor, BlobPresence)| match presence {
            BlobPresence::Complete => 0,
            BlobPresence::Partial(bytes) => descriptor.size.saturating_sub(*bytes),
            _ => descriptor.size,
        };
        self.blobs.iter().map(remaining).fold(0, u64::saturating_add)
    }
}
