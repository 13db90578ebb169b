//! An image layout inside a tar. Spec: image-spec `image-layout.md`.

use serde::Deserialize;

use super::small_file::{MAX_JSON_BYTES, missing_required, read_small_file, unusable};
use super::tarball::TarIndex;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{RawIndex, parse_entry};
use crate::error::{Error, ErrorKind, Result};
use crate::json::Object;

pub(super) const LAYOUT_FILE_NAME: &str = "oci-layout";

/// The content of the `oci-layout` file.
pub(super) const LAYOUT_FILE_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

pub(super) const INDEX: &str = "index.json";

/// Maximum size of the `oci-layout` file, in bytes.
const MAX_MARKER_BYTES: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OciLayoutJson {
    image_layout_version: String,
}

/// The image entries of index.json; `None` if there is no layout.
pub(super) fn images(tar: &TarIndex) -> Result<Option<Vec<Descriptor>>> {
    let Some(marker) = read_small_file(tar, LAYOUT_FILE_NAME, MAX_MARKER_BYTES)? else {
        return Ok(None);
    };
    let Object(marker): Object<OciLayoutJson> = serde_json::from_slice(&marker)
        .map_err(|error| unusable(LAYOUT_FILE_NAME, "is corrupt").with_source(error))?;
    if marker.image_layout_version != "1.0.0" {
        let reason =
            format!("unsupported layout version {}, expected 1.0.0", marker.image_layout_version);
        return Err(unusable(LAYOUT_FILE_NAME, &reason));
    }
    let Some(index) = read_small_file(tar, INDEX, MAX_JSON_BYTES)? else {
        return Err(missing_required(INDEX));
    };
    let mut entries =
        entries(&index).map_err(|error| unusable(INDEX, "is corrupt").with_source(error))?;
    // Entries of other types next to an image are not images.
    if entries.iter().any(|entry| entry.media_type.is_document()) {
        entries.retain(|entry| entry.media_type.is_document());
    }
    Ok(Some(entries))
}

/// The entries of an index.json.
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
