//! Everything below an index: all of it, or what is there of it.

use std::collections::HashSet;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};

use crate::content::{BlobPresence, Effort, EndpointKind};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageIndex, ParsedDocument};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::limits::MAX_DOCUMENT_BYTES;
use crate::transfer::resolve::finder::{CONCURRENCY, DocumentFinder};

/// Entries that an error or warning names.
const MAX_LISTED: usize = 30;

impl DocumentFinder<'_> {
    /// The document and everything below it, children before parents, each once.
    pub(in crate::transfer) fn collect<'a>(
        &'a self,
        document: Document,
        depth: usize,
        seen: &'a mut HashSet<Digest>,
        into: &'a mut Vec<Document>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check_depth(depth)?;
            if let ParsedDocument::Index(index) = document.parsed() {
                let new = |entry: &&Descriptor| {
                    entry.media_type.is_document() && seen.insert(entry.digest.clone())
                };
                let entries: Vec<Descriptor> =
                    index.manifests.iter().filter(new).cloned().collect();
                // Owned by the futures: a closure over borrowed entries is not general enough for `buffered`.
                let fetch = |entry: Descriptor| async move {
                    let child = self.document(&entry).await?;
                    Ok::<_, Error>(child.with_platform(entry.platform))
                };
                let mut fetching = stream::iter(entries.clone()).map(fetch).buffered(CONCURRENCY);
                let mut children = Vec::new();
                while let Some(child) = fetching.next().await {
                    match &child {
                        // All that are missing are named together.
                        Err(error) if error.kind() == ErrorKind::NotFound => {
                            self.without_match()?;
                        }
                        Err(_) => return child.map(drop),
                        Ok(_) => {}
                    }
                    children.push(child);
                }
                self.check_children_exist(&entries, &children)?;
                for child in children {
                    self.collect(child?, depth + 1, seen, into).await?;
                }
            }
            into.push(document);
            if into.iter().map(|document| document.bytes().len()).sum::<usize>()
                > MAX_DOCUMENT_BYTES
            {
                let why =
                    format!("manifests have more than {} MiB in total", MAX_DOCUMENT_BYTES >> 20);
                return Err(Error::new(ErrorKind::InvalidDocument, self.reference).with_reason(why));
            }
            Ok(())
        })
    }

    /// Names everything that is missing at once: a store often has one platform of many.
    fn check_children_exist(
        &self,
        entries: &[Descriptor],
        children: &[Result<Document>],
    ) -> Result<()> {
        let lacks = |child: &Result<Document>| matches!(child, Err(error) if error.kind() == ErrorKind::NotFound);
        let missing = entries.iter().zip(children).filter(|(_, child)| lacks(child));
        let missing: Vec<&Descriptor> = missing.map(|(entry, _)| entry).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let why = format!("manifests listed by its index are missing: {}", list(&missing));
        let runs = |entry: &Descriptor| entry.platform.is_some() && !entry.is_attestation();
        let mut there = entries.iter().filter(|entry| runs(entry) && !missing.contains(entry));
        // Only what a pull fills can get the rest from somewhere.
        let matter = match self.source.endpoint().kind {
            EndpointKind::Layout => Some(ErrorDetail::MissingChildren),
            _ => there.next().map(|_| ErrorDetail::ChildrenGone),
        };
        Err(Error::new(ErrorKind::NotFound, self.reference)
            .at(&self.source.endpoint().location)
            .with_reason(why)
            .with_missing(missing.iter().map(|entry| entry.digest.clone()).collect())
            .with_detail(matter))
    }

    /// What is there of an index that names more, and the index where only one platform of it is; `None` where it is
    /// whole, or no image of it is there.
    pub(in crate::transfer) async fn available_subset(
        &self,
        root: &Document,
        index: &ImageIndex,
    ) -> Result<Option<(Vec<Document>, Option<Document>)>> {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for entry in index.manifests.iter().filter(|entry| entry.media_type.is_document()) {
            let is_missing = self.is_omitted(entry).await? && self.at_target(entry).await.is_none();
            if is_missing { missing.push(entry) } else { there.push(entry) }
        }
        let images: Vec<&Descriptor> =
            there.iter().filter(|entry| !entry.is_attestation()).copied().collect();
        if missing.is_empty() || images.is_empty() {
            return Ok(None);
        }
        tracing::warn!(
            "{}: manifests listed by its index are missing from {}: {}; using {}",
            self.reference,
            &self.source.endpoint().location,
            list(&missing),
            list(&images)
        );
        let mut documents = Vec::new();
        if let [image] = images.as_slice() {
            let document = self.document(image).await?.with_platform(image.platform.clone());
            if document.manifest().is_ok() {
                return Ok(Some((vec![document], Some(root.clone()))));
            }
        }
        let mut seen = HashSet::new();
        for entry in there {
            if seen.insert(entry.digest.clone()) {
                let document = self.document(entry).await?.with_platform(entry.platform.clone());
                self.collect(document, 1, &mut seen, &mut documents).await?;
            }
        }
        documents.push(root.clone());
        Ok(Some((documents, None)))
    }

    /// Whether an archive was made without this: for a target that has it.
    async fn is_omitted(&self, entry: &Descriptor) -> Result<bool> {
        Ok(self.source.endpoint().kind == EndpointKind::Archive
            && self.source.blob(entry, Effort::Local).await? == BlobPresence::Absent)
    }
}

/// Entries of an index, for people: platforms, and how many attestations.
fn list(entries: &[&Descriptor]) -> String {
    let (attestations, images): (Vec<&Descriptor>, Vec<&Descriptor>) =
        entries.iter().partition(|entry| entry.is_attestation());
    let mut words: Vec<String> = images
        .iter()
        .take(MAX_LISTED)
        .map(|entry| match &entry.platform {
            Some(platform) => platform.to_string(),
            None => entry.digest.to_string(),
        })
        .collect();
    if images.len() > MAX_LISTED {
        words.push(format!("{} more", images.len() - MAX_LISTED));
    }
    match attestations.len() {
        0 => {}
        1 => words.push("1 attestation".to_owned()),
        several => words.push(format!("{several} attestations")),
    }
    words.join(", ")
}
