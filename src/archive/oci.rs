//! An image layout inside a tar. Spec: image-spec `image-layout.md`.

use super::small_file::{MAX_JSON_BYTES, missing_required, read_small_file, unusable};
use super::tarball::TarIndex;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{RawIndex, parse_entry};
use crate::error::{Error, ErrorKind, Result};
use crate::oci_layout_file;

pub(super) const INDEX: &str = "index.json";

/// The image entries of index.json; `None` if there is no layout.
pub(super) fn images(tar: &TarIndex) -> Result<Option<Vec<Descriptor>>> {
    let Some(content) = read_small_file(tar, oci_layout_file::NAME, oci_layout_file::MAX_BYTES)?
    else {
        return Ok(None);
    };
    oci_layout_file::check(&content, |reason| unusable(oci_layout_file::NAME, reason))?;
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
