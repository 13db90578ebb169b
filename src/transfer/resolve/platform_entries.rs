//! The root of a name that refers to one image per platform, if other platforms than the host's are requested.

use crate::content::{self, Source};
use crate::document::Document;
use crate::error::Result;
use crate::name::ImageName;
use crate::same_name;
use crate::transfer::request::PlatformSelection;

/// The manifest of one platform, or an index made of several; `None` if the source can resolve the name itself.
pub(in crate::transfer) async fn root(
    source: &dyn Source,
    name: &ImageName,
    platforms: &PlatformSelection,
) -> Result<Option<Document>> {
    let entries = source.platform_entries(name).await?.present().unwrap_or_default();
    if entries.len() < 2 {
        return Ok(None);
    }
    match platforms {
        PlatformSelection::Single(request) => {
            let chosen = same_name::select(&entries, &request.platform, &name.to_string());
            let chosen = chosen.map_err(|error| error.at(&source.endpoint().location))?;
            content::fetch_document(source, chosen).await.map(Some)
        }
        PlatformSelection::SparseIndex(_)
        | PlatformSelection::FilteredIndex(_)
        | PlatformSelection::OriginalIndex => same_name::index(&entries).map(Some),
        PlatformSelection::All | PlatformSelection::Available => Ok(None),
    }
}
