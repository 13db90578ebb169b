//! Collects everything below an index, or what the source has of it.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};

use crate::content::{BlobPresence, Effort, EndpointKind};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageIndex, TreeWalk};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::transfer::resolve::finder::{CONCURRENCY, DocumentFinder};

/// Maximum number of entries that an error or warning lists.
const MAX_LISTED: usize = 30;

impl DocumentFinder<'_> {
    /// Returns a document and everything below it, each once, children before parents. The entries of all indexes of one depth
    /// are fetched concurrently.
    pub(in crate::transfer) async fn collect(&self, root: Document) -> Result<Vec<Document>> {
        self.count_bytes(root.descriptor().size)?;
        self.collect_from(vec![root], 0).await
    }

    /// Returns these documents and everything below them. `depth` is the number of indexes above them.
    async fn collect_from(&self, roots: Vec<Document>, depth: usize) -> Result<Vec<Document>> {
        let mut walk = TreeWalk::default();
        walk.queue(depth, roots.iter().map(|root| root.descriptor().clone()));
        while walk.next_step().is_some() {}
        let (mut documents, mut level) = (Vec::new(), roots);
        for depth in depth.. {
            if !level.is_empty() {
                self.check_depth(depth)?;
            }
            let mut entries: Vec<Descriptor> = Vec::new();
            for document in &level {
                walk.queue(depth + 1, document.children().cloned());
                entries.extend(std::iter::from_fn(|| walk.next_step()).map(|step| step.item));
            }
            documents.append(&mut level);
            if entries.is_empty() {
                break;
            }
            level = self.fetch_all(&entries).await?;
        }
        Ok(children_first(documents))
    }

    /// Returns the documents of these entries, in their order. Their sizes are counted before they are fetched.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] names all that are missing.
    pub(super) async fn fetch_all(&self, entries: &[Descriptor]) -> Result<Vec<Document>> {
        let sizes = entries.iter().map(|entry| entry.size);
        self.count_bytes(sizes.fold(0, u64::saturating_add))?;
        // Owned by the futures: a closure over borrowed entries is not general enough for `buffered`.
        let fetch = |entry: Descriptor| async move {
            let child = self.document(&entry).await?;
            Ok::<_, Error>(child.with_platform(entry.platform))
        };
        let mut fetching = stream::iter(entries.to_vec()).map(fetch).buffered(CONCURRENCY);
        let mut children = Vec::new();
        while let Some(child) = fetching.next().await {
            match &child {
                Err(error) if error.kind() == ErrorKind::NotFound => self.count_miss()?,
                Err(_) => return child.map(|child| vec![child]),
                Ok(_) => {}
            }
            children.push(child);
        }
        self.check_children_exist(entries, &children)?;
        children.into_iter().collect()
    }

    /// Reads the images that an index lists, and forgets them.
    pub(super) async fn check_images_exist(&self, index: &ImageIndex) -> Result<()> {
        let images = index.manifests.iter().filter(|entry| !entry.is_attestation());
        self.fetch_all(&images.cloned().collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Lists all missing entries in one error: a store often has one platform of many.
    fn check_children_exist(
        &self,
        entries: &[Descriptor],
        children: &[Result<Document>],
    ) -> Result<()> {
        let is_missing = |child: &Result<Document>| matches!(child, Err(error) if error.kind() == ErrorKind::NotFound);
        let missing = entries.iter().zip(children).filter(|(_, child)| is_missing(child));
        let missing: Vec<&Descriptor> = missing.map(|(entry, _)| entry).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let reason =
            format!("manifests listed by its index are missing: {}", list_entries(&missing));
        let runs = |entry: &Descriptor| entry.platform.is_some() && !entry.is_attestation();
        let mut existing = entries.iter().filter(|entry| runs(entry) && !missing.contains(entry));
        // Only a store or layout can be completed by a pull.
        let detail = match self.source.endpoint().kind {
            EndpointKind::Layout => Some(ErrorDetail::MissingChildren),
            _ => existing.next().map(|_| ErrorDetail::ChildrenGone),
        };
        Err(Error::new(ErrorKind::NotFound, self.reference)
            .at(&self.source.endpoint().location)
            .with_reason(reason)
            .with_missing(missing.iter().map(|entry| entry.digest.clone()).collect())
            .with_detail(detail))
    }

    /// The documents that the source has of an index that lists more, and the index itself if it has only one platform of
    /// it. `None` if the source has all images of the index, or none.
    pub(in crate::transfer) async fn available_subset(
        &self,
        root: &Document,
        index: &ImageIndex,
    ) -> Result<Option<(Vec<Document>, Option<Document>)>> {
        let (mut existing, mut missing) = (Vec::new(), Vec::new());
        for entry in index.manifests.iter().filter(|entry| entry.media_type.is_document()) {
            let is_missing =
                self.is_omitted(entry).await? && self.document_at_target(entry).await.is_none();
            if is_missing { missing.push(entry) } else { existing.push(entry) }
        }
        let images: Vec<&Descriptor> =
            existing.iter().filter(|entry| !entry.is_attestation()).copied().collect();
        if missing.is_empty() || images.is_empty() {
            return Ok(None);
        }
        tracing::warn!(
            "{}: manifests listed by its index are missing from {}: {}; using {}",
            self.reference,
            &self.source.endpoint().location,
            list_entries(&missing),
            list_entries(&images)
        );
        if let [image] = images.as_slice() {
            let document = self.document(image).await?.with_platform(image.platform.clone());
            if document.manifest().is_ok() {
                return Ok(Some((vec![document], Some(root.clone()))));
            }
        }
        let mut seen = HashSet::new();
        existing.retain(|entry| seen.insert(&entry.digest));
        let existing: Vec<Descriptor> = existing.into_iter().cloned().collect();
        let documents = self.fetch_all(&existing).await?;
        let mut documents = self.collect_from(documents, 1).await?;
        documents.push(root.clone());
        Ok(Some((documents, None)))
    }

    /// Whether an archive omits this, because its recipient was expected to have it, or an engine did not fetch it.
    async fn is_omitted(&self, entry: &Descriptor) -> Result<bool> {
        Ok(self.source.endpoint().kind.may_omit_content()
            && self.source.blob(entry, Effort::Local).await? == BlobPresence::Absent)
    }
}

/// A step of a depth-first walk.
enum Visit {
    Enter(usize),
    /// After everything that it lists.
    Leave(usize),
}

/// Sorts documents so that each comes after those that it lists. Documents that list none of the others keep their order.
fn children_first(documents: Vec<Document>) -> Vec<Document> {
    let positions: HashMap<Digest, usize> = documents
        .iter()
        .enumerate()
        .map(|(position, document)| (document.digest().clone(), position))
        .collect();
    let children = |position: usize| -> Vec<usize> {
        let document = documents.get(position);
        let listed = document.into_iter().flat_map(Document::children);
        let mut listed: Vec<usize> =
            listed.filter_map(|child| positions.get(&child.digest).copied()).collect();
        listed.reverse();
        listed
    };
    let (mut order, mut is_open) = (Vec::new(), vec![false; documents.len()]);
    for root in 0..documents.len() {
        let mut stack = vec![Visit::Enter(root)];
        while let Some(visit) = stack.pop() {
            let position = match visit {
                Visit::Enter(position) => position,
                Visit::Leave(position) => {
                    order.push(position);
                    continue;
                }
            };
            if let Some(open @ false) = is_open.get_mut(position) {
                *open = true;
                stack.push(Visit::Leave(position));
                stack.extend(children(position).into_iter().map(Visit::Enter));
            }
        }
    }
    let mut documents: Vec<Option<Document>> = documents.into_iter().map(Some).collect();
    order.into_iter().filter_map(|position| documents.get_mut(position)?.take()).collect()
}

/// Entries of an index for a message: platforms, and the number of attestations.
fn list_entries(entries: &[&Descriptor]) -> String {
    let (attestations, images): (Vec<&Descriptor>, Vec<&Descriptor>) =
        entries.iter().partition(|entry| entry.is_attestation());
    let mut parts: Vec<String> = images
        .iter()
        .take(MAX_LISTED)
        .map(|entry| match &entry.platform {
            Some(platform) => platform.to_string(),
            None => entry.digest.to_string(),
        })
        .collect();
    if images.len() > MAX_LISTED {
        parts.push(format!("{} more", images.len() - MAX_LISTED));
    }
    match attestations.len() {
        0 => {}
        1 => parts.push("1 attestation".to_owned()),
        several => parts.push(format!("{several} attestations")),
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::media::MediaType;

    fn index(name: &str, children: &[&Document]) -> Document {
        let entries: Vec<&Descriptor> = children.iter().map(|child| child.descriptor()).collect();
        let value = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries,
            "annotations": {"name": name},
        });
        Document::from_response(value.to_string().into(), &MediaType::OCI_INDEX, None).unwrap()
    }

    #[test]
    fn index_listed_by_index_and_its_sibling_comes_before_both() {
        let a = index("a", &[]);
        let b = index("b", &[&a]);
        let c = index("c", &[&b]);
        let root = index("root", &[&c, &b, &a]);
        let found = [&root, &c, &b, &a].map(Clone::clone).to_vec();
        let sorted: Vec<Digest> =
            children_first(found).iter().map(|document| document.digest().clone()).collect();
        assert_eq!(sorted, [&a, &b, &c, &root].map(|document| document.digest().clone()));
    }
}
