//! The root of a name that stands for one image for each platform, where somebody asked for other platforms than the
//! host's.

use super::graph::Platforms;
use crate::alike;
use crate::content::{Name, Source};
use crate::document::Document;
use crate::error::Result;

/// One platform's manifest, or an index that is made of them; `None` where the source can resolve the name as it is.
pub(super) async fn root(
    source: &dyn Source,
    name: &Name,
    platforms: &Platforms,
) -> Result<Option<Document>> {
    let alike = source.alike(name).await?;
    if alike.len() < 2 {
        return Ok(None);
    }
    match platforms {
        Platforms::One(choice) => {
            let chosen = alike::choose(&alike, &choice.platform, &name.to_string());
            let chosen = chosen.map_err(|error| error.at(source.place()))?;
            source.document(chosen).await.map(Some)
        }
        Platforms::Several(_) | Platforms::Only(_) | Platforms::Whole => {
            alike::index(&alike).map(Some)
        }
        Platforms::All | Platforms::Present => Ok(None),
    }
}
