//! Finds the nested indexes that list the selected manifests.

use std::collections::HashSet;

use futures_util::future::BoxFuture;

use crate::digest::Digest;
use crate::document::{Document, ImageIndex, ParsedDocument};
use crate::error::Result;
use crate::transfer::resolve::finder::DocumentFinder;

impl DocumentFinder<'_> {
    /// The nested indexes through which an index lists these manifests, inner ones first; none if it lists all of them
    /// itself. Costs one request per nested index.
    pub(in crate::transfer) async fn nested_indexes(
        &self,
        index: &ImageIndex,
        chosen: &HashSet<&Digest>,
    ) -> Result<Vec<Document>> {
        let listed: HashSet<&Digest> = index.manifests.iter().map(|entry| &entry.digest).collect();
        let mut found = Vec::new();
        if !chosen.is_subset(&listed) {
            self.search_below(index, chosen, 0, &mut HashSet::new(), &mut found).await?;
        }
        Ok(found)
    }

    /// Adds the indexes below this one that lead to a selected manifest. Returns whether there is one.
    fn search_below<'a>(
        &'a self,
        index: &'a ImageIndex,
        chosen: &'a HashSet<&Digest>,
        depth: usize,
        seen: &'a mut HashSet<Digest>,
        found: &'a mut Vec<Document>,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.check_depth(depth)?;
            let mut leads = false;
            for entry in index.manifests.iter().filter(|entry| entry.media_type.is_index()) {
                if !seen.insert(entry.digest.clone()) {
                    continue;
                }
                let document = self.document(entry).await?;
                let ParsedDocument::Index(nested) = document.parsed() else { continue };
                let below = self.search_below(nested, chosen, depth + 1, seen, found).await?;
                let lists = nested.manifests.iter().any(|entry| chosen.contains(&entry.digest));
                if below || lists {
                    leads = true;
                    self.count_bytes(document.descriptor().size)?;
                    found.push(document);
                } else {
                    self.count_miss()?;
                }
            }
            Ok(leads)
        })
    }
}
