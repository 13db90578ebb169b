//! Disk usage of a layout, in total, per image and per registry.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::io::files;
use super::reach::Reachable;
use super::{IndexEntry, Layout, partial};
use crate::digest::Digest;
use crate::error::Result;
use crate::reference::Reference;
use crate::sharing::{ImageSize, SharedSizes};

/// Name of an image without one, and of the registry of a name that is not a reference.
const NO_NAME: &str = "<none>";

/// Disk usage of an image. Nothing is known of one with a document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImageUsage {
    /// Its name; `<none>` without one.
    pub reference: String,
    /// Digest that the name points to.
    pub digest: Digest,
    /// Bytes of all existing blobs it references, documents included.
    pub size: Option<u64>,
    /// Bytes that other images reference, too.
    pub shared: Option<u64>,
    /// Bytes that only this image references, of those that can be read.
    pub unique: Option<u64>,
    /// Bytes that [`Layout::prune`] frees in addition once its name is removed: `unique`, and what only its referrers
    /// reference that lose their subject with it. 0 if another name points to the same content; `None` while any
    /// document cannot be read.
    pub frees: Option<u64>,
}

/// Disk usage of the images of one registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RegistryUsage {
    /// The registry; `<none>` for images whose name is not a reference.
    pub registry: String,
    /// Number of its images.
    pub images: u64,
    /// Bytes of all existing blobs that they reference, each once; `None` if nothing is known of one of them.
    pub size: Option<u64>,
    /// Bytes that only they reference.
    pub unique: Option<u64>,
}

/// Disk usage of a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayoutUsage {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// Each registry that has images, by name.
    pub registries: Vec<RegistryUsage>,
    /// Number of existing blobs and documents.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Referenced bytes.
    pub referenced: u64,
    /// Unreferenced bytes: [`Layout::prune`] frees them.
    pub unreferenced: u64,
    /// Bytes that are unreferenced, or belong to images with documents that cannot be read.
    pub unknown: u64,
    /// Bytes of partial blobs.
    pub partial: u64,
    /// Number of partial blobs.
    pub partials: u64,
    /// Bytes of unfinished uploads to the layout, if it is served.
    pub session_bytes: u64,
    /// Number of unfinished uploads.
    pub sessions: u64,
    /// A line about each document that cannot be read. As long as there are any, nothing can be pruned.
    #[serde(skip)]
    pub unreadable: Vec<String>,
}

impl Layout {
    /// Computes the disk usage, as far as the documents can be read.
    ///
    /// Reads every document once, and the size of every file.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] if the layout cannot be read.
    pub fn usage(&self) -> Result<LayoutUsage> {
        let blobs = self.all_blobs()?;
        let sizes: HashMap<_, _> = blobs.into_iter().map(|blob| (blob.digest, blob.size)).collect();
        let images = Images::read(self.root(), self.entries()?);
        let sharing = SharedSizes::new(&sizes, images.alive().flatten());
        let usage = |at: usize, entry: &IndexEntry| {
            let share = images.share(at, &sharing);
            let is_complete = images.unreadable.is_empty();
            ImageUsage {
                reference: entry.names.first().cloned().unwrap_or_else(|| NO_NAME.to_owned()),
                digest: entry.digest(),
                size: share.map(|share| share.size),
                shared: share.map(|share| share.size - share.unique),
                unique: share.map(|share| share.unique),
                frees: is_complete.then(|| images.freed_with(at, &sharing)),
            }
        };
        let mut rows: Vec<_> =
            images.entries.iter().enumerate().map(|(at, entry)| usage(at, entry)).collect();
        rows.sort_by(|a, b| a.reference.cmp(&b.reference));
        let (bytes, referenced) = (sharing.all(), sharing.referenced());
        let rest = bytes - referenced;
        let (unreferenced, unknown) =
            if images.unreadable.is_empty() { (rest, 0) } else { (0, rest) };
        let (partials, partial) = count(&partial::partials(self.root())?);
        let (sessions, session_bytes) = count(&files(&self.root().join("sessions"))?);
        Ok(LayoutUsage {
            images: rows,
            registries: images.by_registry(&sharing),
            blobs: sizes.len() as u64,
            bytes,
            referenced,
            unreferenced,
            unknown,
            partial,
            partials,
            session_bytes,
            sessions,
            unreadable: images.unreadable.into_values().flatten().collect(),
        })
    }
}

/// Number of files, and their bytes.
fn count(files: &[(PathBuf, u64)]) -> (u64, u64) {
    (files.len() as u64, files.iter().map(|(_, size)| size).sum())
}

/// The entries of a layout with everything that is reachable from them.
struct Images {
    entries: Vec<IndexEntry>,
    content: Vec<HashSet<Digest>>,
    /// Referrers that are in the layout only with their subject, by the digest of the subject.
    attached: HashMap<Digest, Vec<usize>>,
    /// Referrers whose subject is no longer there: pruning removes them.
    orphaned: HashSet<usize>,
    /// Lines about the documents that cannot be read, by the entry.
    unreadable: BTreeMap<usize, Vec<String>>,
}

impl Images {
    fn read(root: &Path, entries: Vec<IndexEntry>) -> Self {
        let (mut content, mut unreadable) = (Vec::new(), BTreeMap::new());
        for (at, entry) in entries.iter().enumerate() {
            let found = Reachable::from_entry(root, entry);
            let lines: Vec<_> = found.unreadable_lines(entry).collect();
            if !lines.is_empty() {
                unreadable.insert(at, lines);
            }
            content.push(found.retained);
        }
        let mut attached: HashMap<Digest, Vec<usize>> = HashMap::new();
        let mut orphaned = HashSet::new();
        for (at, entry) in entries.iter().enumerate() {
            if let Some(subject) = entry.attached_to() {
                attached.entry(subject).or_default().push(at);
                orphaned.insert(at);
            }
        }
        let mut images = Self { entries, content, attached, orphaned, unreadable };
        if !images.attached.is_empty() {
            images.find_orphans();
        }
        images
    }

    /// Everything reachable from an entry.
    fn content(&self, at: usize) -> impl Iterator<Item = &Digest> {
        self.content.get(at).into_iter().flatten()
    }

    /// The content of each entry that pruning keeps.
    fn alive(&self) -> impl Iterator<Item = &HashSet<Digest>> {
        let alive = self.content.iter().enumerate().filter(|(at, _)| !self.orphaned.contains(at));
        alive.map(|(_, content)| content)
    }

    /// Takes those off the orphans whose subject is reachable, step by step: a referrer can have referrers.
    fn find_orphans(&mut self) {
        let mut seen: HashSet<&Digest> = HashSet::new();
        let mut open: Vec<&Digest> = self.alive().flatten().collect();
        let mut found = Vec::new();
        while let Some(digest) = open.pop() {
            if seen.insert(digest) {
                for &at in self.attached.get(digest).into_iter().flatten() {
                    found.push(at);
                    open.extend(self.content(at));
                }
            }
        }
        for at in found {
            self.orphaned.remove(&at);
        }
    }

    /// `None` for an image with a document that cannot be read.
    fn share(&self, at: usize, sharing: &SharedSizes<'_>) -> Option<ImageSize> {
        if self.unreadable.contains_key(&at) {
            return None;
        }
        let share = sharing.share(self.content(at));
        let is_orphaned = self.orphaned.contains(&at);
        Some(if is_orphaned { ImageSize { unique: 0, ..share } } else { share })
    }

    /// Bytes that only this entry references, and the referrers that lose their subject with it.
    fn freed_with(&self, at: usize, sharing: &SharedSizes<'_>) -> u64 {
        if self.orphaned.contains(&at) {
            return 0;
        }
        let mut users: HashMap<&Digest, u64> = HashMap::new();
        let (mut open, mut removed) = (vec![at], HashSet::from([at]));
        let mut freed = 0;
        while let Some(at) = open.pop() {
            for digest in self.content(at) {
                let gone = users.entry(digest).or_default();
                *gone += 1;
                if *gone == sharing.users_of(digest) {
                    freed += sharing.size_of(digest);
                    let referrers = self.attached.get(digest).into_iter().flatten();
                    open.extend(referrers.filter(|referrer| removed.insert(**referrer)));
                }
            }
        }
        freed
    }

    fn by_registry(&self, sharing: &SharedSizes<'_>) -> Vec<RegistryUsage> {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, entry) in self.entries.iter().enumerate() {
            groups.entry(registry_of(entry)).or_default().push(at);
        }
        let usage = |(registry, images): (String, Vec<usize>)| {
            let alive = images.iter().filter(|at| !self.orphaned.contains(at));
            let content = alive.map(|&at| self.content(at));
            let is_known = images.iter().all(|at| !self.unreadable.contains_key(at));
            let share = is_known.then(|| sharing.share_of_group(content));
            RegistryUsage {
                registry,
                images: images.len() as u64,
                size: share.map(|share| share.size),
                unique: share.map(|share| share.unique),
            }
        };
        groups.into_iter().map(usage).collect()
    }
}

fn registry_of(entry: &IndexEntry) -> String {
    let name = entry.names.first().and_then(|name| name.parse::<Reference>().ok());
    name.map_or_else(|| NO_NAME.to_owned(), |reference| reference.registry().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::generated::{generated, write_blob, write_layout};
    use super::super::{PruneOptions, PruneReport};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn usage_frees_equals_effect_of_rm_and_prune(images in generated()) {
            let dir = tempfile::tempdir().unwrap();
            let layout = write_layout(dir.path(), &images);
            write_blob(dir.path(), "", b"unreferenced");
            let prune = |plan| -> PruneReport {
                layout.prune(PruneOptions { plan, ..PruneOptions::default() }).unwrap()
            };
            let usage = layout.usage().unwrap();
            prop_assert_eq!(usage.unreferenced, prune(true).bytes);
            prop_assert_eq!(usage.referenced + usage.unreferenced, usage.bytes);
            let index = std::fs::read(dir.path().join("index.json")).unwrap();
            for image in &usage.images {
                prop_assert!(layout.remove(&image.reference).unwrap());
                prop_assert_eq!(prune(true).bytes, usage.unreferenced + image.frees.unwrap());
                std::fs::write(dir.path().join("index.json"), &index).unwrap();
            }
            prop_assert!(usage.registries.iter().all(|registry| registry.unique <= registry.size));
            prop_assert_eq!(prune(false).bytes, usage.unreferenced);
            prop_assert_eq!(layout.usage().unwrap().unreferenced, 0);
        }
    }
}
