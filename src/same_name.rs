//! Groups index entries with the same name: some tools write one entry per platform instead of a nested index.
//!
//! An image is selected from them as from an index. The last of two entries for one platform wins, as in `docker load`,
//! containerd's import and ORAS, which tag one entry after the other; skopeo takes the first.

use std::collections::HashSet;

use serde_json::json;

use crate::annotation;
use crate::config::ImageConfig;
use crate::descriptor::Descriptor;
use crate::document::{Document, available_platforms, entries_for_platform};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::media::MediaType;
use crate::platform::Platform;

/// The entries that a name refers to.
pub(crate) struct EffectiveEntries {
    /// In their order, with their platform if it is known.
    pub(crate) entries: Vec<Descriptor>,
    /// Whether an entry was replaced by a later one for the same platform.
    pub(crate) has_replaced: bool,
}

/// Returns the entries that a name refers to.
///
/// `platform_of` is called for entries without a platform, if there are several.
pub(crate) fn effective_entries(
    mut entries: Vec<Descriptor>,
    platform_of: impl Fn(&Descriptor) -> Option<Platform>,
) -> EffectiveEntries {
    if entries.iter().any(|entry| entry.media_type.is_document()) {
        entries.retain(|entry| entry.media_type.is_document());
    }
    // Sets, not nested loops: an index.json can give one name to very many entries.
    let mut digests = HashSet::new();
    let mut each = entries;
    each.retain(|entry| digests.insert(entry.digest.clone()));
    if each.len() > 1 {
        for entry in &mut each {
            entry.platform = entry.platform.take().or_else(|| platform_of(entry));
        }
    }
    let all = each.len();
    let mut platforms = HashSet::new();
    let later = each.into_iter().rev();
    let mut kept: Vec<_> = later.filter(|one| platforms.insert(one.platform.clone())).collect();
    kept.reverse();
    EffectiveEntries { has_replaced: kept.len() < all, entries: kept }
}

/// Returns the entry that fits the platform best.
///
/// # Errors
/// [`ErrorKind::NotFound`] with the available platforms if no entry matches.
pub(crate) fn select<'a>(
    entries: &'a [Descriptor],
    requested: &Platform,
    name: &str,
) -> Result<&'a Descriptor> {
    match entries {
        [one] => Ok(one),
        several => entries_for_platform(requested, several).first().copied().ok_or_else(|| {
            let available = available_platforms(several).join(", ");
            Error::new(ErrorKind::NotFound, format!("platform {requested} not found in {name}"))
                .with_reason(format!("available: {available}"))
                .with_detail(ErrorDetail::PlatformNotFound)
        }),
    }
}

/// Returns the platform of an image config with these bytes.
pub(crate) fn platform_of_config(config: &Descriptor, bytes: &[u8]) -> Option<Platform> {
    let config = Some(bytes).filter(|_| config.media_type.is_image_config())?;
    let platform = ImageConfig::parse(config).ok()?.platform();
    Some(platform).filter(|platform| !platform.is_empty())
}

/// Returns an index of these entries, as other tools would have written it.
pub(crate) fn index(entries: &[Descriptor]) -> Result<Document> {
    let entry = |entry: &Descriptor| {
        let mut entry = entry.clone();
        entry.annotations.retain(|key, _| !key.starts_with("rpull."));
        entry.annotations.remove(annotation::NAME_ANNOTATION);
        entry.annotations.remove(annotation::REF_ANNOTATION);
        entry
    };
    let entries: Vec<Descriptor> = entries.iter().map(entry).collect();
    let index = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries,
    });
    Document::from_response(index.to_string().into(), &MediaType::OCI_INDEX, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn entry(text: &str, platform: Option<&str>) -> Descriptor {
        let mut entry =
            Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(text.as_bytes()), 2);
        entry.platform = platform.map(|text| text.parse().unwrap());
        entry
    }

    #[test]
    fn same_name_entries_are_selected_by_platform() {
        let config_says = |_: &Descriptor| Some("linux/s390x".parse().unwrap());
        let amd = entry("a", Some("linux/amd64"));
        let (arm, newer) = (entry("b", Some("linux/arm64")), entry("c", Some("linux/arm64")));
        let without = entry("d", None);
        let all = vec![arm.clone(), amd.clone(), without.clone(), newer.clone(), amd.clone()];
        let EffectiveEntries { entries: kept, has_replaced } = effective_entries(all, config_says);
        assert!(has_replaced);
        let expected = [&amd, &without, &newer].map(|entry| &entry.digest);
        assert_eq!(kept.iter().map(|entry| &entry.digest).collect::<Vec<_>>(), expected);
        for (platform, expected) in
            [("linux/amd64", &amd), ("linux/arm64", &newer), ("linux/s390x", &without)]
        {
            let chosen = select(&kept, &platform.parse().unwrap(), "app").unwrap();
            assert_eq!(chosen.digest, expected.digest, "{platform}");
        }
        let refusal = select(&kept, &"linux/riscv64".parse().unwrap(), "app").unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::NotFound);
        assert!(refusal.to_string().contains("linux/amd64, linux/s390x, linux/arm64"), "{refusal}");
        let one = effective_entries(vec![arm.clone(), arm], |_| panic!("there is no choice"));
        assert!(one.entries.len() == 1 && !one.has_replaced);
        let mut xml = amd.clone();
        (xml.media_type, xml.digest) = ("application/xml".into(), Digest::sha256(b"x"));
        assert_eq!(effective_entries(vec![xml, amd.clone()], config_says).entries, [amd]);
    }

    #[test]
    fn same_name_index_keeps_platforms_and_drops_names() {
        let mut amd = entry("a", Some("linux/amd64"));
        amd.annotations.insert("rpull.origin".into(), "reg/a".into());
        amd.annotations.insert("x".into(), "y".into());
        annotation::rename(&mut amd, "reg/a:1");
        let made = index(&[amd, entry("b", Some("linux/arm64"))]).unwrap();
        let crate::document::ParsedDocument::Index(index) = made.parsed() else {
            panic!("an index")
        };
        assert_eq!(available_platforms(&index.manifests), ["linux/amd64", "linux/arm64"]);
        assert_eq!(index.manifests[0].annotations.len(), 1);
    }
}
