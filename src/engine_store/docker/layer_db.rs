//! layerdb: what docker knows of each unpacked layer, by chain id.

use std::collections::HashMap;

use super::paths;
use crate::digest::Digest;
use crate::engine_store::directory::EngineDir;
use crate::error::{Error, Result};

/// Maximum size of a file with one digest or number.
const MAX_TEXT_BYTES: u64 = 1 << 10;

/// Longest name of an overlay directory.
const MAX_CACHE_ID: usize = 128;

/// A layer in layerdb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredLayer {
    pub(super) diff_id: Digest,
    /// Chain id of the layer below.
    pub(super) parent: Option<Digest>,
    /// Bytes of its files.
    pub(super) size: u64,
    /// Name of its directory in overlay2.
    pub(super) cache_id: String,
}

/// The layers by chain id. One that cannot be read hides no other.
#[derive(Debug, Default)]
pub(super) struct LayerDb {
    layers: HashMap<Digest, Result<StoredLayer>>,
    by_diff_id: HashMap<Digest, Vec<Digest>>,
}

impl LayerDb {
    pub(super) fn read(root: &EngineDir) -> Result<Self> {
        let mut db = Self::default();
        for name in root.names(paths::LAYERS)?.unwrap_or_default() {
            // A layer that is being deleted has a longer name.
            let Ok(chain_id) = format!("sha256:{name}").parse::<Digest>() else { continue };
            let layer = read_layer(root, &chain_id);
            if let Ok(layer) = &layer {
                db.by_diff_id.entry(layer.diff_id.clone()).or_default().push(chain_id.clone());
            }
            db.layers.insert(chain_id, layer);
        }
        Ok(db)
    }

    /// The layer with this chain id; `None` if it does not exist.
    ///
    /// # Errors
    /// If its files cannot be read.
    pub(super) fn get(&self, chain_id: &Digest) -> Result<Option<&StoredLayer>> {
        let found = self.layers.get(chain_id).map(Result::as_ref);
        found.transpose().map_err(Error::clone_for)
    }

    /// The chain ids of all layers with these contents.
    pub(super) fn with_diff_id(&self, diff_id: &Digest) -> &[Digest] {
        self.by_diff_id.get(diff_id).map_or(&[], Vec::as_slice)
    }

    /// Every layer that can be read.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Digest, &StoredLayer)> {
        self.layers.iter().filter_map(|(chain_id, layer)| Some((chain_id, layer.as_ref().ok()?)))
    }

    /// Why layers cannot be read.
    pub(super) fn errors(&self) -> impl Iterator<Item = &Error> {
        self.layers.values().filter_map(|layer| layer.as_ref().err())
    }
}

fn read_layer(root: &EngineDir, chain_id: &Digest) -> Result<StoredLayer> {
    let directory = paths::layer(chain_id);
    let text = |name: &str| -> Result<Option<String>> {
        let path = format!("{directory}/{name}");
        let Some(bytes) = root.small(&path, MAX_TEXT_BYTES)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| root.corrupt(&path, "is corrupt"))?;
        Ok(Some(text.trim().to_owned()))
    };
    let required = |name: &str| {
        text(name)?.ok_or_else(|| root.corrupt(&format!("{directory}/{name}"), "is missing"))
    };
    let invalid = |name: &str, text: &str| {
        root.corrupt(&format!("{directory}/{name}"), &format!("is corrupt: `{text}`"))
    };
    let digest =
        |name: &str, text: String| text.parse::<Digest>().map_err(|_| invalid(name, &text));
    let (size, cache_id) = (required("size")?, required("cache-id")?);
    if !is_cache_id(&cache_id) {
        return Err(invalid("cache-id", &cache_id));
    }
    Ok(StoredLayer {
        diff_id: digest("diff", required("diff")?)?,
        parent: text("parent")?.map(|text| digest("parent", text)).transpose()?,
        size: size.parse().map_err(|_| invalid("size", &size))?,
        cache_id,
    })
}

/// Whether it is the name of a directory, and of nothing elsewhere.
pub(super) fn is_cache_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_CACHE_ID).contains(&text.len()) && text.bytes().all(allowed)
}
