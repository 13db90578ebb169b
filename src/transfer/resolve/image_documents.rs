//! The documents of an image: of one platform, of several, or of all.

use crate::document::{Document, ParsedDocument};
use crate::error::Result;
use crate::transfer::request::{PlatformRequest, PlatformSelection};
use crate::transfer::resolve::finder::DocumentFinder;

/// Returns the documents of these platforms, the one that gets the name last, and the index that it was selected from.
/// `chosen_from` is the index that the source states for the root.
pub(super) async fn image_documents(
    finder: &DocumentFinder<'_>,
    platforms: &PlatformSelection,
    root: Document,
    mut chosen_from: Option<Document>,
) -> Result<(Vec<Document>, Option<Document>)> {
    let mut found = Vec::new();
    let root = match platforms {
        PlatformSelection::OriginalIndex => chosen_from.take().unwrap_or(root),
        _ => root,
    };
    match (platforms, root.parsed()) {
        (platforms, ParsedDocument::Artifact(_)) => {
            if let Some(request) = platforms.explicit().first() {
                return Err(finder.platform_error(&request.platform, "an artifact has no platform"));
            }
            return Ok((vec![root], chosen_from));
        }
        (platforms, ParsedDocument::Manifest(manifest)) => {
            for request in platforms.explicit() {
                finder.check_platform(&root, manifest, &request).await?;
            }
            return Ok((vec![root], chosen_from));
        }
        (PlatformSelection::Single(request), ParsedDocument::Index(index)) => {
            let (document, platform) = finder.select_manifest(index, request).await?;
            return Ok((vec![document.with_platform(platform)], Some(root)));
        }
        (PlatformSelection::SparseIndex(platforms), ParsedDocument::Index(index)) => {
            for platform in platforms {
                let request = PlatformRequest::explicit(platform.clone());
                let (document, platform) = finder.select_manifest(index, &request).await?;
                if !found.iter().any(|known: &Document| known.digest() == document.digest()) {
                    found.push(document.with_platform(platform));
                }
            }
            let chosen = found.iter().map(Document::digest).collect();
            let listing = finder.nested_indexes(index, &chosen).await?;
            found.extend(listing);
            found.push(root);
        }
        (PlatformSelection::FilteredIndex(platforms), ParsedDocument::Index(index)) => {
            found = finder.filter_index(&root, index, platforms).await?;
        }
        (PlatformSelection::All | PlatformSelection::OriginalIndex, ParsedDocument::Index(_)) => {
            found = finder.collect(root).await?;
        }
        (PlatformSelection::Available, ParsedDocument::Index(index)) => {
            if let Some(present) = finder.available_subset(&root, index).await? {
                return Ok(present);
            }
            found = finder.collect(root).await?;
        }
    }
    Ok((found, None))
}
