//! Where an engine keeps the layers of an image.

use std::path::Path;

use serde::Serialize;

use crate::config::{ImageConfig, chain_ids};
use crate::content::{Source, UnpackedLayer};

/// Characters of a directory's own name in a table, as of a digest.
const NAME_WIDTH: usize = 12;

#[derive(Serialize)]
struct WithDirectory<'a, R> {
    #[serde(flatten)]
    row: &'a R,
    directory: Option<String>,
    unpacked_size: Option<u64>,
}

/// The unpacked layers of an image, base first.
pub(in crate::cli) struct UnpackedLayers(Vec<Option<UnpackedLayer>>);

impl UnpackedLayers {
    /// Asks the source for each layer; `None` if it keeps none of them.
    pub(in crate::cli) fn find(source: &dyn Source, config: &ImageConfig) -> Option<Self> {
        let chain = chain_ids(&config.rootfs.diff_ids);
        let layers: Vec<_> = chain.iter().map(|id| source.unpacked_layer(id)).collect();
        layers.iter().any(Option::is_some).then_some(Self(layers))
    }

    pub(in crate::cli) fn get(&self, layer: usize) -> Option<&UnpackedLayer> {
        self.0.get(layer)?.as_ref()
    }

    /// A row with the directory of its layer, for JSON.
    pub(in crate::cli) fn with_directory<'a, R: Serialize>(
        &self,
        row: &'a R,
        layer: Option<usize>,
    ) -> impl Serialize + use<'a, R> {
        let found = layer.and_then(|layer| self.get(layer));
        WithDirectory {
            row,
            directory: found.map(|layer| layer.directory.display().to_string()),
            unpacked_size: found.and_then(|layer| layer.size),
        }
    }

    /// The directory of a layer for a table.
    pub(in crate::cli) fn shown(&self, layer: Option<usize>, no_trunc: bool) -> String {
        let found = layer.and_then(|layer| self.get(layer));
        found.map_or_else(|| "-".to_owned(), |layer| shown_directory(&layer.directory, no_trunc))
    }
}

/// A directory of a layer for a table: in short, `overlay2/<beginning of the cache-id>` for its `diff` directory.
pub(in crate::cli) fn shown_directory(path: &Path, no_trunc: bool) -> String {
    let mut parts = path.iter().rev().map(|part| part.to_string_lossy());
    let (Some(_), Some(own), Some(parent)) = (parts.next(), parts.next(), parts.next()) else {
        return path.display().to_string();
    };
    if no_trunc {
        return path.display().to_string();
    }
    let own: String = own.chars().take(NAME_WIDTH).collect();
    format!("{parent}/{own}")
}
