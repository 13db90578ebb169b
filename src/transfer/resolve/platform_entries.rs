//! The root of a name that stands for one image for each platform, where somebody asked for other platforms than the
//! host's.

use crate::content::{self, Source};
use crate::document::Document;
use crate::error::Result;
use crate::name::ImageName;
use crate::same_name;
use crate::transfer::request::PlatformSelection;

/// One platform's manifest, or an index that is made of them; `None` where the source can resolve the name as it is.
pub(in crate::transfer) async fn root(
    source: &dyn Source,
    name: &ImageName,
    platforms: &PlatformSelection,
) -> Result<Option<Document>> {
    let alike = source.platform_entries(name).await?.present().unwrap_or_default();
    if alike.len() < 2 {
        return Ok(None);
    }
    match platforms {
        PlatformSelection::Single(request) => {
            let chosen = same_name::select(&alike, &request.platform, &name.to_string());
            let chosen = chosen.map_err(|error| error.at(&source.endpoint().location))?;
            content::document(source, chosen).await.map(Some)
        }
        PlatformSelection::SparseIndex(_)
        | PlatformSelection::FilteredIndex(_)
        | PlatformSelection::OriginalIndex => same_name::index(&alike).map(Some),
        PlatformSelection::All | PlatformSelection::Available => Ok(None),
    }
}
