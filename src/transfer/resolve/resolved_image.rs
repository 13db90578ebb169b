//! Resolves a name for commands that only read an image and have no target.

use crate::content::Source;
use crate::document::{Document, ParsedDocument};
use crate::error::Result;
use crate::name::ImageName;
use crate::retry::RetryPolicy;
use crate::transfer::request::{PlatformRequest, PlatformSelection};
use crate::transfer::resolve::finder::DocumentFinder;
use crate::transfer::resolve::graph::ResolvedImage;
use crate::transfer::resolve::platform_entries;
use crate::transfer::resolve::source_documents::SourceDocuments;

/// Resolves a name to the index with all platforms, if it is known for one: also where the source has only a manifest that was
/// selected from that index. Otherwise to its document.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) lists the images of the index that a local source lacks.
pub async fn resolve_with_all_platforms(
    source: &dyn Source,
    name: &ImageName,
    reference: &str,
    retry: &RetryPolicy,
) -> Result<Document> {
    let root = root(source, name, &PlatformSelection::OriginalIndex).await?;
    // A digest means this document, and not the index that lists it.
    let is_pinned = reference.ends_with(root.digest().as_str());
    let parent = if is_pinned { None } else { source.provenance(&root).await.parent_index };
    let root = parent.unwrap_or(root);
    if let ParsedDocument::Index(index) = root.parsed()
        && source.endpoint().kind.is_local()
    {
        let documents = SourceDocuments::default();
        let finder = DocumentFinder::for_source(source, reference, &documents, retry);
        finder.check_images_exist(index).await?;
    }
    Ok(root)
}

/// Resolves a name to its documents, without a target.
pub async fn resolve_image(
    source: &dyn Source,
    name: &ImageName,
    reference: &str,
    request: Option<&PlatformRequest>,
    retry: &RetryPolicy,
) -> Result<ResolvedImage> {
    let root = match request {
        Some(request) => root(source, name, &PlatformSelection::Single(request.clone())).await?,
        None => source.resolve(name).await?,
    };
    let documents = SourceDocuments::default();
    let finder = DocumentFinder::for_source(source, reference, &documents, retry);
    let chosen = match (root.parsed(), request) {
        (ParsedDocument::Index(index), Some(request)) => {
            let (document, platform) = finder.select_manifest(index, request).await?;
            document.with_platform(platform)
        }
        (ParsedDocument::Manifest(manifest), Some(request)) if request.explicit => {
            finder.check_platform(&root, manifest, request).await?;
            root.clone()
        }
        _ => root.clone(),
    };
    Ok(ResolvedImage { root, manifest: chosen })
}

/// The document that a name of the source stands for, of these platforms if there is one document per platform.
async fn root(
    source: &dyn Source,
    name: &ImageName,
    platforms: &PlatformSelection,
) -> Result<Document> {
    match platform_entries::root(source, name, platforms).await? {
        Some(root) => Ok(root),
        None => source.resolve(name).await,
    }
}
