//! An image layout inside a tar. Spec: image-spec `image-layout.md`.

use serde::Deserialize;

use super::small_file::{JSON_LIMIT, lacking, small_file, unusable};
use super::tarball::TarIndex;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{RawIndex, parse_entry};
use crate::error::{Error, ErrorKind, Result};
use crate::json::Object;

pub(super) const MARKER: &str = "oci-layout";

/// What stands in the marker.
pub(super) const MARKER_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

pub(super) const INDEX: &str = "index.json";

/// The most that is read of the marker, in bytes.
const MARKER_LIMIT: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OciLayoutJson {
    image_layout_version: String,
}

/// The entries of index.json that are images; `None` where there is no layout.
pub(super) fn images(tar: &TarIndex) -> Result<Option<Vec<Descriptor>>> {
    let Some(marker) = small_file(tar, MARKER, MARKER_LIMIT)? else { return Ok(None) };
    let Object(marker): Object<OciLayoutJson> = serde_json::from_slice(&marker)
        .map_err(|error| unusable(MARKER, "is corrupt").with_source(error))?;
    if marker.image_layout_version != "1.0.0" {
        let why =
            format!("unsupported layout version {}, expected 1.0.0", marker.image_layout_version);
        return Err(unusable(MARKER, &why));
    }
    let Some(index) = small_file(tar, INDEX, JSON_LIMIT)? else { return Err(lacking(INDEX)) };
    let mut entries =
        entries(&index).map_err(|error| unusable(INDEX, "is corrupt").with_source(error))?;
    // Entries of other types beside an image are not images.
    if entries.iter().any(|entry| entry.media_type.is_document()) {
        entries.retain(|entry| entry.media_type.is_document());
    }
    Ok(Some(entries))
}

/// What an index.json lists.
///
/// # Errors
/// [`ErrorKind::InvalidDocument`] if it is not an index.
pub fn entries_of_index(index: &[u8]) -> Result<Vec<Descriptor>> {
    entries(index).map_err(|error| {
        Error::new(ErrorKind::InvalidDocument, INDEX).with_reason("is corrupt").with_source(error)
    })
}

fn entries(index: &[u8]) -> serde_json::Result<Vec<Descriptor>> {
    RawIndex::parse(index)?.manifests.iter().map(|raw| parse_entry(raw)).collect()
}

/// `blobs/sha256/<hex>`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for algorithms that cannot be verified.
pub(super) fn name_of(digest: &Digest) -> Result<String> {
    digest.algorithm()?;
    Ok(format!("blobs/{}/{}", digest.algorithm_name(), digest.encoded()))
}
