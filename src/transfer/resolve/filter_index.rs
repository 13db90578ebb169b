//! Reduces an index to some platforms.

use std::collections::HashSet;

use serde_json::Value;

use crate::annotation::REFERENCE_DIGEST;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageIndex};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Platform};
use crate::transfer::request::PlatformSelection;

/// The entries to keep with these manifests: themselves, their attestations, and blobs that are not for another platform.
pub(in crate::transfer) fn kept_entries<'a>(
    index: &'a ImageIndex,
    chosen: &HashSet<&Digest>,
    platforms: &[Platform],
) -> Vec<&'a Descriptor> {
    let about_chosen = |entry: &Descriptor| {
        let about = entry.annotations.get(REFERENCE_DIGEST).filter(|_| entry.is_attestation());
        about.is_some_and(|about| chosen.iter().any(|digest| digest.as_str() == about))
    };
    let is_kept = |entry: &&Descriptor| {
        chosen.contains(&entry.digest)
            || about_chosen(entry)
            || (!entry.media_type.is_document() && is_for(entry, platforms))
    };
    index.manifests.iter().filter(is_kept).collect()
}

/// Whether a blob that an index lists is part of the requested content.
pub(in crate::transfer) fn is_selected(platforms: &PlatformSelection, blob: &Descriptor) -> bool {
    match platforms {
        PlatformSelection::SparseIndex(platforms) => is_for(blob, platforms),
        _ => true,
    }
}

/// Whether a blob that an index lists belongs to one of these platforms; one without a platform belongs to all.
pub(in crate::transfer) fn is_for(blob: &Descriptor, platforms: &[Platform]) -> bool {
    let Some(own) = &blob.platform else { return true };
    platforms.iter().any(|requested| platform::matches(requested, own))
}

/// The index with only these entries, including those of nested indexes. Everything else in it stays as it was, also unknown
/// fields.
///
/// It has another digest, unless all entries are kept.
pub(in crate::transfer) fn rewrite(
    root: &Document,
    nested: &[Document],
    kept: &[&Descriptor],
) -> Result<Document> {
    let fail = |error: serde_json::Error| {
        Error::new(ErrorKind::InvalidDocument, format!("index {}", root.digest()))
            .with_source(error)
    };
    let mut value: Value = serde_json::from_slice(root.bytes()).map_err(fail)?;
    let Some(entries) = value.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Ok(root.clone());
    };
    let mut left: HashSet<&str> = kept.iter().map(|entry| entry.digest.as_str()).collect();
    let before = entries.len();
    entries.retain(|entry| is_listed(entry, &left));
    if entries.len() == before && nested.is_empty() {
        return Ok(root.clone());
    }
    for index in nested {
        left.retain(|digest| !entries.iter().any(|entry| digest_of(entry) == Some(digest)));
        let inner: Value = serde_json::from_slice(index.bytes()).map_err(fail)?;
        let inner = inner.get("manifests").and_then(Value::as_array).into_iter().flatten();
        entries.extend(inner.filter(|entry| is_listed(entry, &left)).cloned());
    }
    let bytes = serde_json::to_vec(&value).map_err(fail)?;
    Document::from_response(bytes.into(), &root.descriptor().media_type, None)
}

fn is_listed(entry: &Value, digests: &HashSet<&str>) -> bool {
    digest_of(entry).is_some_and(|digest| digests.contains(digest))
}

fn digest_of(entry: &Value) -> Option<&str> {
    entry.get("digest").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::ParsedDocument;
    use crate::media::MediaType;

    fn index(entries: &[(&str, &str)]) -> Document {
        let entries: Vec<Value> = entries
            .iter()
            .map(|(hex, about)| {
                let mut entry = serde_json::json!({
                    "mediaType": MediaType::OCI_MANIFEST.to_string(), "digest": format!("sha256:{}", hex.repeat(64)),
                    "size": 2, "x-unknown": 1.5,
                });
                if !about.is_empty() {
                    entry["annotations"] = serde_json::json!({
                        REFERENCE_DIGEST: format!("sha256:{}", about.repeat(64)), "vnd.docker.reference.type": "attestation-manifest",
                    });
                }
                entry
            })
            .collect();
        let value = serde_json::json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX.to_string(), "manifests": entries,
            "annotations": {"kept": "as it was"},
        });
        let bytes = serde_json::to_vec(&value).unwrap();
        Document::from_response(bytes.into(), &MediaType::OCI_INDEX, None).unwrap()
    }

    #[test]
    fn subset_index_keeps_attestations_and_unknown_fields() {
        let root = index(&[("a", ""), ("b", ""), ("c", "a"), ("d", "b")]);
        let ParsedDocument::Index(view) = root.parsed() else { panic!("an index") };
        let chosen: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let kept_entries = kept_entries(view, &HashSet::from([&chosen]), &[]);
        let rewritten = rewrite(&root, &[], &kept_entries).unwrap();
        assert_eq!(rewritten.bytes(), index(&[("a", ""), ("c", "a")]).bytes());
        let all: Vec<&Descriptor> = view.manifests.iter().collect();
        assert_eq!(rewrite(&root, &[], &all).unwrap().digest(), root.digest());
    }
}
