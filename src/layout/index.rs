//! `index.json`: the names of a layout. Fields and entries of other tools stay unchanged.

use std::io::{ErrorKind as Io, Read as _};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::blobs;
use super::entry::{IndexEntry, split_pinned};
use super::io::{files, io_error, replace_durably};
use crate::annotation::{self, REF_ANNOTATION};
use crate::descriptor::Descriptor;
use crate::digest::VERIFIABLE_ALGORITHMS;
use crate::document::{RawIndex, parse_entry};
use crate::error::{Error, ErrorKind, Result};

/// Maximum size of the file, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The file as read or to be written. Entries are parsed only when they are needed.
pub(super) struct IndexFile {
    /// Its location, for messages.
    path: PathBuf,
    raw: RawIndex,
}

impl IndexFile {
    /// # Errors
    /// [`ErrorKind::Store`] if it is missing, empty or damaged. It is never repaired by guessing.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let path = root.join("index.json");
        let refuse = |reason: &str| {
            Error::new(ErrorKind::Store, "layout")
                .at(path.display().to_string())
                .with_reason(reason)
        };
        let file = blobs::open_inside(root, "index.json")?.map_err(|error| match error.kind() {
            Io::NotFound => refuse("is missing"),
            _ => io_error("open", &path, error),
        })?;
        let mut text = String::new();
        let read = file.take(MAX_FILE_BYTES).read_to_string(&mut text);
        read.map_err(|error| refuse("is corrupt").with_source(error))?;
        if text.trim_ascii().is_empty() {
            return Err(refuse("is empty"));
        }
        let parsed = Self::parse(&path, &text);
        let index = parsed.map_err(|error| refuse("is corrupt").with_source(error))?;
        // `umoci init` writes `null`. With blobs, the list was lost, and they must not look unreferenced.
        if index.raw.is_null() && has_blobs(root)? {
            return Err(refuse("is corrupt: `manifests` is null"));
        }
        Ok(index)
    }

    fn parse(path: &Path, text: &str) -> serde_json::Result<Self> {
        let raw = RawIndex::parse(text.as_bytes())?;
        if !raw.has_manifests() {
            return Err(serde::de::Error::custom("missing `manifests`"));
        }
        Ok(Self { path: path.to_owned(), raw })
    }

    /// Whether `manifests` is `null`. Once there are blobs, a lost list and an empty one look the same.
    pub(super) fn is_null(&self) -> bool {
        self.raw.is_null()
    }

    /// Each entry, or the error of a damaged one.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<IndexEntry>> {
        (0..).zip(&self.raw.manifests).map(|(at, raw)| entry(&self.path, at, raw))
    }

    /// All readable entries. Damaged ones are skipped with a warning.
    pub(super) fn readable(&self) -> Vec<IndexEntry> {
        let parsed = |entry: Result<IndexEntry>| {
            entry.inspect_err(|error| tracing::warn!("{}", error.chain())).ok()
        };
        self.entries().filter_map(parsed).collect()
    }

    /// The first entry that matches this name.
    pub(super) fn find(&self, name: &str) -> Result<Option<IndexEntry>> {
        self.matching(name).next().transpose()
    }

    /// All entries that match this name.
    pub(super) fn matching(&self, name: &str) -> impl Iterator<Item = Result<IndexEntry>> {
        let text = split_pinned(name).map_or(name, |(name, _)| name);
        let called =
            (0..).zip(&self.raw.manifests).filter(move |(_, raw)| may_contain_name(raw, text));
        let read = called.map(|(at, raw)| entry(&self.path, at, raw));
        read.filter(move |entry| {
            entry.as_ref().map_or(true, |entry| entry.matching_name(name).is_some())
        })
    }

    /// Points the name to this content and removes it from other entries. Returns whether anything changed.
    pub(super) fn set(&mut self, name: &str, mut descriptor: Descriptor) -> Result<bool> {
        descriptor.data = None;
        annotation::rename(&mut descriptor, name);
        if self.find(name)?.is_some_and(|entry| entry.descriptor == descriptor) {
            return Ok(false);
        }
        self.remove(name)?;
        self.raw.manifests.push(raw(&descriptor)?);
        Ok(true)
    }

    /// Adds an entry without a name, which protects the content from pruning, unless an entry exists. Returns whether
    /// anything changed.
    pub(super) fn add_unnamed(&mut self, mut descriptor: Descriptor) -> Result<bool> {
        let digest = descriptor.digest.clone();
        let mut entries = (0..).zip(&self.raw.manifests);
        let listed = entries.any(|(at, raw)| {
            may_contain_name(raw, digest.as_str())
                && entry(&self.path, at, raw).is_ok_and(|entry| entry.descriptor.digest == digest)
        });
        if !listed {
            descriptor.data = None;
            descriptor.annotations.remove(annotation::NAME_ANNOTATION);
            descriptor.annotations.remove(REF_ANNOTATION);
            self.raw.manifests.push(raw(&descriptor)?);
        }
        Ok(!listed)
    }

    /// Removes the name from all entries. Returns whether one had it.
    pub(super) fn remove(&mut self, name: &str) -> Result<bool> {
        let mut found = false;
        let mut kept = Vec::with_capacity(self.raw.manifests.len());
        for (at, raw_entry) in std::mem::take(&mut self.raw.manifests).into_iter().enumerate() {
            if !may_contain_name(&raw_entry, name) {
                kept.push(raw_entry);
                continue;
            }
            let mut entry = entry(&self.path, at, &raw_entry)?;
            match entry.names.iter().position(|own| own == name) {
                None if entry.matching_name(name).is_some() => found = true,
                None => kept.push(raw_entry),
                Some(0) => found = true,
                Some(_) => {
                    // Removing a short name keeps the full name of the image.
                    found = true;
                    entry.descriptor.annotations.remove(REF_ANNOTATION);
                    kept.push(raw(&entry.descriptor)?);
                }
            }
        }
        self.raw.manifests = kept;
        Ok(found)
    }

    /// Replaces the file. The caller holds the lock.
    pub(super) fn write(&self, root: &Path) -> Result<()> {
        let bytes = self
            .raw
            .to_vec()
            .map_err(|error| Error::new(ErrorKind::Store, "write index.json").with_source(error))?;
        replace_durably(root, "index.json", &bytes)
    }
}

fn has_blobs(root: &Path) -> Result<bool> {
    for algorithm in VERIFIABLE_ALGORITHMS {
        if !files(&root.join("blobs").join(algorithm))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Parsing dominates the cost of a large index. Only entries whose text has the name, or escapes, can match.
fn may_contain_name(raw: &RawValue, name: &str) -> bool {
    raw.get().contains(name) || raw.get().contains('\\')
}

fn entry(path: &Path, at: usize, raw: &RawValue) -> Result<IndexEntry> {
    let damaged = |error| {
        Error::new(ErrorKind::Store, format!("entry {}", at + 1))
            .at(path.display().to_string())
            .with_reason("is corrupt")
            .with_source(error)
    };
    parse_entry(raw).map(IndexEntry::from_descriptor).map_err(damaged)
}

fn raw(descriptor: &Descriptor) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(descriptor)
        .map_err(|error| Error::new(ErrorKind::Store, "write index.json").with_source(error))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::entry::INDEX_ANNOTATION;
    use super::*;
    use crate::digest::Digest;
    use crate::document::EMPTY_INDEX;
    use crate::media::MediaType;

    /// What `umoci init` writes, without blobs.
    const NULL: &str = r#"{"schemaVersion":2,"manifests":null}"#;

    fn image(text: &str) -> Descriptor {
        Descriptor::for_bytes(MediaType::OCI_MANIFEST, text.as_bytes())
    }

    pub(in super::super) fn index() -> IndexFile {
        IndexFile::parse(Path::new("index.json"), EMPTY_INDEX).unwrap()
    }

    #[test]
    fn index_name_moves_to_latest_image() {
        let mut index = index();
        assert!(index.set("docker.io/library/a:1", image("one")).unwrap());
        assert!(!index.set("docker.io/library/a:1", image("one")).unwrap());
        assert!(index.set("b", image("one")).unwrap());
        assert!(index.set("docker.io/library/a:1", image("two")).unwrap());
        let digest_of = |index: &IndexFile, name| index.find(name).unwrap().unwrap().digest();
        assert_eq!(digest_of(&index, "b"), image("one").digest);
        assert_eq!(digest_of(&index, "docker.io/library/a:1"), image("two").digest);
        assert_eq!(index.entries().count(), 2);
        assert!(index.remove("b").unwrap() && !index.remove("b").unwrap());
    }

    #[test]
    fn index_ipv6_name_is_not_in_ref_annotation() {
        let mut index = index();
        for name in ["[::1]:5000/a:1", "no[slash]"] {
            index.set(name, image("one")).unwrap();
            let entry = index.find(name).unwrap().unwrap();
            assert_eq!(entry.names, [name]);
            assert!(!entry.descriptor.annotations.contains_key(REF_ANNOTATION));
        }
    }

    #[test]
    fn index_name_with_digest_must_match_image_or_index() {
        let (mut index, chosen) = (index(), image("chosen"));
        let mut entry = chosen.clone();
        let of_index = Digest::sha256(b"index");
        entry.annotations.insert(INDEX_ANNOTATION.into(), of_index.to_string());
        index.set("h/a:1", entry).unwrap();
        index.set(&format!("h/liar@{of_index}"), image("other")).unwrap();
        let other = image("other").digest;
        let finds = |name: String| index.find(&name).unwrap().is_some();
        assert!(finds(format!("h/a:1@{}", chosen.digest)) && finds(format!("h/a:1@{of_index}")));
        assert!(!finds(format!("h/a:1@{other}")) && !finds(format!("h/a@{of_index}")));
        assert!(!finds(format!("h/liar@{of_index}")) && !finds(format!("h/liar@{other}")));
    }

    #[test]
    fn index_unknown_fields_are_preserved() {
        let text = r#"{"schemaVersion":2,"x":[1,  2],"manifests":[{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"strange":true,"annotations":{"io.containerd.image.name":"h/full:1","org.opencontainers.image.ref.name":"1"}}]}"#;
        let dir = tempfile::tempdir().unwrap();
        let mut index = IndexFile::parse(Path::new("index.json"), text).unwrap();
        index.set("other", image("one")).unwrap();
        index.write(dir.path()).unwrap();
        let written = std::fs::read_to_string(dir.path().join("index.json")).unwrap();
        assert!(
            written.contains(r#""x":[1,  2]"#) && written.contains(r#""strange":true"#),
            "{written}"
        );
        assert!(index.remove("1").unwrap());
        assert!(index.find("h/full:1").unwrap().is_some());
    }

    #[test]
    fn index_damaged_is_error_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join("a".repeat(64)), "a layer").unwrap();
        assert!(IndexFile::read(dir.path()).is_err());
        for bad in [
            "",
            " \n",
            "garbage",
            "[]",
            "{}",
            r#"{"schemaVersion":1,"manifests":[]}"#,
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"manifests":{}}"#,
            r#"{"schemaVersion":2,"manifests":""}"#,
            NULL,
        ] {
            std::fs::write(dir.path().join("index.json"), bad).unwrap();
            assert!(
                IndexFile::read(dir.path()).is_err_and(|error| error.kind() == ErrorKind::Store),
                "{bad}"
            );
        }
        std::fs::remove_dir_all(&blobs).unwrap();
        assert_eq!(IndexFile::read(dir.path()).unwrap().entries().count(), 0);
    }

    #[test]
    fn index_damaged_entry_is_reported_and_preserved() {
        let mut index = index();
        index.set("a", image("one")).unwrap();
        index.raw.manifests.insert(0, RawValue::from_string("{}".into()).unwrap());
        index.raw.manifests.push(RawValue::from_string("[\"x/y\"]".into()).unwrap());
        let result = |entry: Result<IndexEntry>| {
            entry.map_or_else(|error| error.to_string(), |_| "fine".into())
        };
        let results: Vec<String> = index.entries().map(result).collect();
        assert_eq!(
            results,
            ["entry 1: index.json: is corrupt", "fine", "entry 3: index.json: is corrupt"]
        );
        assert!(index.find("a").unwrap().is_some() && index.remove("a").unwrap());
        assert_eq!(index.raw.manifests.len(), 2, "they are not thrown away");
    }

    proptest! {
        #[test]
        fn index_arbitrary_text_does_not_panic(text in "\\{(\"(schemaVersion|manifests|x)\":(2|null|\\[\\{\\}\\]|\\[\\]|\"\\\\u0041\"),?){0,4}\\}?") {
            if let Ok(mut index) = IndexFile::parse(Path::new(""), &text) {
                _ = index.entries().count();
                _ = index.set("a", image("one")).is_ok();
            }
        }
    }
}
