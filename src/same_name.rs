//! Groups index entries with the same name: some tools write one entry per platform instead of a nested index.
//!
//! An image is selected from them as from an index. Two entries for one platform are refused: containerd's import and ORAS
//! take the last, skopeo the first, and umoci neither.

use std::collections::HashSet;

use serde_json::json;

use crate::annotation;
use crate::config::ImageConfig;
use crate::descriptor::Descriptor;
use crate::document::{Document, available_platforms, entries_for_platform};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::media::MediaType;
use crate::platform::Platform;

/// Maximum digests in a hint.
const MAX_CHOICES: usize = 3;

/// Returns the entries that a name refers to, in their order, with their platform if it is known.
///
/// `platform_of` is called for entries without a platform, if there are several. `name` and `location` are for errors.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] with the digests if several images are for one platform.
pub(crate) fn effective_entries(
    mut entries: Vec<Descriptor>,
    platform_of: impl Fn(&Descriptor) -> Option<Platform>,
    name: &str,
    location: &str,
) -> Result<Vec<Descriptor>> {
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
    let mut platforms = HashSet::new();
    match each.iter().find(|entry| !platforms.insert(&entry.platform)) {
        None => Ok(each),
        Some(repeated) => Err(ambiguous(&each, repeated.platform.as_ref(), name, location)),
    }
}

fn ambiguous(
    entries: &[Descriptor],
    platform: Option<&Platform>,
    name: &str,
    location: &str,
) -> Error {
    let alike = entries.iter().filter(|entry| entry.platform.as_ref() == platform);
    let choices: Vec<String> =
        alike.map(|entry| format!("`{location}@{}`", entry.digest)).collect();
    let of_platform = platform.map(|platform| format!(" for {platform}")).unwrap_or_default();
    let count = choices.len();
    let shown = choices.get(..MAX_CHOICES).unwrap_or(&choices).join(" or ");
    Error::new(ErrorKind::InvalidInput, format!("image {name}"))
        .at(location)
        .with_reason(format!("ambiguous: {count} images{of_platform} have this name"))
        .with_hint(format!("select one by its digest: {shown}"))
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
        let read = |entries| effective_entries(entries, config_says, "app", "oci:dir");
        let kept = read(vec![amd.clone(), without.clone(), arm.clone(), amd.clone()]).unwrap();
        let expected = [&amd, &without, &arm].map(|entry| &entry.digest);
        assert_eq!(kept.iter().map(|entry| &entry.digest).collect::<Vec<_>>(), expected);
        for (platform, expected) in
            [("linux/amd64", &amd), ("linux/arm64", &arm), ("linux/s390x", &without)]
        {
            let chosen = select(&kept, &platform.parse().unwrap(), "app").unwrap();
            assert_eq!(chosen.digest, expected.digest, "{platform}");
        }
        let refusal = select(&kept, &"linux/riscv64".parse().unwrap(), "app").unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::NotFound);
        assert!(refusal.to_string().contains("linux/amd64, linux/s390x, linux/arm64"), "{refusal}");
        let unread = |_: &Descriptor| panic!("there is no choice");
        let one = effective_entries(vec![arm.clone(), arm.clone()], unread, "app", "oci:dir");
        assert_eq!(one.unwrap().len(), 1);
        let mut xml = amd.clone();
        (xml.media_type, xml.digest) = ("application/xml".into(), Digest::sha256(b"x"));
        assert_eq!(read(vec![xml, amd.clone()]).unwrap(), vec![amd.clone()]);
        let error = read(vec![arm.clone(), amd.clone(), newer.clone()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.reason().contains("2 images for linux/arm64"), "{error}");
        let hint = error.hint().unwrap();
        for (entry, is_listed) in [(arm, true), (newer, true), (amd, false)] {
            let choice = format!("`oci:dir@{}`", entry.digest);
            assert_eq!(hint.contains(&choice), is_listed, "{hint}");
        }
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
