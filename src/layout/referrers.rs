//! Referrers in a layout: entries of index.json whose document has a subject. Referrers that were copied with an image
//! stay as long as the image has a name.

use std::collections::HashSet;

use super::{IndexEntry, Layout};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Result;
use crate::reference::{is_digest_tag, is_pinned};

/// Digest of the subject that a referrer was copied with.
pub const SUBJECT_ANNOTATION: &str = "rpull.subject";

impl Layout {
    /// Lists the referrers of this manifest: every entry whose document has it as subject, whatever tool wrote it.
    pub(super) fn referrers_of(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for entry in self.entries()? {
            if !entry.descriptor.media_type.is_document() {
                continue;
            }
            match self.read_document(&entry.descriptor) {
                Ok(document) => {
                    let refers = document.subject().is_some_and(|own| own.digest == *subject);
                    if refers && seen.insert(document.digest().clone()) {
                        found.push(document.as_referrer());
                    }
                }
                Err(error) => tracing::info!("{}; ignoring its subject", error.chain()),
            }
        }
        Ok(found)
    }

    /// The entries that are not referrers of another one, or all entries if every one is. If there is a document, other
    /// entries, such as a description in XML, are not images.
    pub(super) fn images(&self) -> Result<Vec<IndexEntry>> {
        let mut entries = self.all_entries()?;
        let is_document = |entry: &IndexEntry| entry.descriptor.media_type.is_document();
        if entries.iter().any(is_document) {
            entries.retain(is_document);
        }
        let (parts, images): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| self.is_attached(entry));
        Ok(if images.is_empty() { parts } else { images })
    }

    fn is_attached(&self, entry: &IndexEntry) -> bool {
        let refers = || {
            let document = self.read_document(&entry.descriptor);
            document.is_ok_and(|document| document.subject().is_some())
        };
        match entry.names.first() {
            Some(name) if is_digest_tag(name) => true,
            Some(name) => is_pinned(name) && refers(),
            None => refers(),
        }
    }

    /// Everything reachable from these entries, and the names of referrers among them whose subject is not reachable.
    pub(super) fn reachable_and_orphaned(
        &self,
        entries: Vec<IndexEntry>,
    ) -> Result<(HashSet<Digest>, Vec<String>)> {
        let (mut waiting, own): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.attached_to().is_some());
        let mut needed = self.reachable_from(&own)?;
        loop {
            let is_needed = |entry: &IndexEntry| {
                entry.attached_to().is_some_and(|subject| needed.contains(&subject))
            };
            let (found, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_needed);
            waiting = rest;
            if found.is_empty() {
                let names = waiting.into_iter().flat_map(|entry| entry.names.into_iter().take(1));
                return Ok((needed, names.collect()));
            }
            needed.extend(self.reachable_from(&found)?);
        }
    }
}

impl IndexEntry {
    /// The subject, if the entry is in the layout only as its referrer.
    pub fn attached_to(&self) -> Option<Digest> {
        let subject = self.descriptor.annotations.get(SUBJECT_ANNOTATION)?;
        subject.parse().ok().filter(|_| !self.names.is_empty())
    }
}
