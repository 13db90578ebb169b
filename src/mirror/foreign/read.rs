//! Which tool a file is for.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::options::{FileFormat, ReadOptions};
use super::{regsync, skopeo};
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::file::MirrorFile;
use crate::mirror::yaml::Yaml;
use crate::reference::registry_only;

/// Keys of a registry in skopeo's file that no other file has at that place.
const SKOPEO_KEYS: [&str; 3] = ["images", "images-by-tag-regex", "images-by-semver"];

impl MirrorFile {
    /// Reads the text of a file for any tool; `file` is its name for messages.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with line and key, or if there is a place in the file and in the options, or in neither.
    pub(crate) fn read(text: &str, file: &str, options: &ReadOptions<'_>) -> Result<Self> {
        let yaml = Yaml { text, file };
        let invalid =
            |reason: &str| Error::new(ErrorKind::InvalidInput, "`--to`").with_reason(reason);
        match (options.from.unwrap_or_else(|| recognize(yaml)), options.to) {
            (FileFormat::Skopeo, Some(to)) => skopeo::read(yaml, to, options.scoped),
            (FileFormat::Skopeo, None) => Err(invalid("a file for `skopeo sync` names no target")
                .with_hint("pass `--to LOCATION`, and `--scoped` for names with the registry")),
            (_, Some(_)) => {
                Err(invalid("applies to files for `skopeo sync` only; this one names its targets"))
            }
            (FileFormat::Rpull, None) => Self::parse(text, file),
            (FileFormat::Regsync, None) => regsync::read(yaml, options.outside),
        }
    }
}

/// The tool that a file with these top-level keys is for.
fn recognize(yaml: Yaml<'_>) -> FileFormat {
    let has_line = |key: &str| yaml.text.lines().any(|line| line.starts_with(key));
    let Ok(keys) = yaml.read::<BTreeMap<String, Spanned<IgnoredAny>>>() else {
        // The reader of that format says what is wrong.
        return if has_line("sync:") { FileFormat::Regsync } else { FileFormat::Rpull };
    };
    let has = |key: &str| keys.contains_key(key);
    if has("mirror") || keys.is_empty() {
        FileFormat::Rpull
    } else if has("sync") || has("creds") {
        FileFormat::Regsync
    } else if keys.keys().all(|key| is_registry(key)) || has_images(yaml) {
        FileFormat::Skopeo
    } else {
        FileFormat::Rpull
    }
}

/// Whether the key is certainly the name of a registry.
fn is_registry(key: &str) -> bool {
    (key.contains(['.', ':']) || key == "localhost") && registry_only(key).is_ok()
}

/// Whether each top-level key has images as in skopeo's file.
fn has_images(yaml: Yaml<'_>) -> bool {
    let registries = yaml.read::<BTreeMap<String, BTreeMap<String, Spanned<IgnoredAny>>>>();
    registries.is_ok_and(|registries| {
        registries.values().all(|one| SKOPEO_KEYS.iter().any(|key| one.contains_key(*key)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_format_is_recognized_by_top_level_keys() {
        for (text, expected) in [
            ("mirror: []", FileFormat::Rpull),
            ("", FileFormat::Rpull),
            ("defaults: {}", FileFormat::Rpull),
            ("mirror: [", FileFormat::Rpull),
            ("mirrors: {images: 1}\nx: []", FileFormat::Rpull),
            ("version: 1\nsync: []", FileFormat::Regsync),
            ("x-a: &a 1\nsync: [", FileFormat::Regsync),
            ("creds: []\nsync: []\ndefaults: {}", FileFormat::Regsync),
            ("quay.io: {images: {}}", FileFormat::Skopeo),
            ("localhost:5000: {imges: {}}", FileFormat::Skopeo),
            ("registry: {images-by-semver: {}}", FileFormat::Skopeo),
        ] {
            assert_eq!(recognize(Yaml { text, file: "f" }), expected, "{text}");
        }
    }

    #[test]
    fn target_is_asked_for_where_file_names_none() {
        let read = |text: &str, from, to| {
            let outside = |_: super::super::Outside<'_>| Err("nothing".to_owned());
            let options = ReadOptions { from, to, scoped: false, outside: &outside };
            MirrorFile::read(text, "f", &options)
        };
        let skopeo = "quay.io: {images: {a: []}}";
        assert!(read(skopeo, None, Some("r.io/x")).is_ok());
        let error = read(skopeo, None, None).unwrap_err();
        assert!(error.chain().starts_with("`--to`: a file for `skopeo sync` names"), "{error:?}");
        assert!(read("mirror: []", None, Some("r.io/x")).is_err());
        assert!(read("mirror: []", Some(FileFormat::Skopeo), Some("r.io/x")).is_err());
        assert!(read(skopeo, Some(FileFormat::Rpull), None).is_err());
    }
}
