//! Which tags at targets the file no longer selects.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, stream};

use super::ends::Ends;
use super::image::{MirrorImage, NamedLayout, NamedTarget, Status};
use crate::cli::run::removals::{LayoutRemovals, Removals, RepositoryRemovals, belongs_to_digest};
use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::layout::IndexEntry;
use crate::limits::CONCURRENT_REQUESTS;
use crate::location::Location;
use crate::mirror::{MirrorEntry, tag_in_layout};
use crate::name::ImageName;
use crate::reference::Reference;

/// A repository that the file names as a target.
struct OwnRepository<'a> {
    reference: Reference,
    entries: Vec<&'a MirrorEntry>,
    selected: BTreeSet<String>,
    pinned: HashSet<Digest>,
}

/// What the file names as targets.
pub(super) struct Named<'a> {
    pub(super) targets: &'a [NamedTarget<'a>],
    pub(super) layouts: &'a [NamedLayout<'a>],
}

/// Lists the tags of all repositories and the names of all layouts that the file names as targets. Nothing is deleted if
/// not all images are known.
pub(super) async fn removals(
    named: Named<'_>,
    images: &[MirrorImage],
    max: usize,
    ends: &mut Ends<'_>,
) -> Removals {
    let mut removals = Removals::new(max);
    if images.iter().any(|image| matches!(image.status, Status::Failed(_))) {
        tracing::warn!("nothing is deleted, because not all images of the file are known");
        return removals;
    }
    let mut listing = Vec::new();
    for (name, own) in own_repositories(named.targets) {
        match ends.repository_without_mirrors(&own.reference) {
            Ok(repository) => listing.push((name, repository, own)),
            Err(error) => removals.add_error(name, error),
        }
    }
    let listing = listing.into_iter().map(|(name, repository, own)| async move {
        let tags = repository.tags().await;
        (name, repository, own, tags)
    });
    let listed = stream::iter(listing.collect::<Vec<_>>()).buffered(CONCURRENT_REQUESTS);
    for (name, repository, own, tags) in listed.collect::<Vec<_>>().await {
        match tags {
            Ok(tags) => {
                let tags = tags.into_iter().filter(|tag| own.can_delete(tag)).collect();
                let mut one = RepositoryRemovals { name, repository, tags, pinned: own.pinned };
                one.keep_pinned().await;
                removals.add(one);
            }
            // Nothing has been mirrored there yet.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => removals.add_error(name, error),
        }
    }
    add_layouts(named.layouts, &mut removals, ends);
    removals
}

/// Adds the names to delete from layouts.
fn add_layouts(targets: &[NamedLayout<'_>], removals: &mut Removals, ends: &Ends<'_>) {
    let mut by_path: BTreeMap<PathBuf, Vec<&NamedLayout<'_>>> = BTreeMap::new();
    for one in targets {
        // Entries that write the path in different ways mean one layout. One that does not exist has no names.
        let Ok(path) = one.path.canonicalize() else { continue };
        by_path.entry(path).or_default().push(one);
    }
    for (path, targets) in by_path {
        let path = targets.first().map_or(path.as_path(), |one| &one.path);
        let location = layout_location(path);
        let listed = ends.existing_layout(path).and_then(|layout| {
            let Some(layout) = layout else { return Ok(None) };
            let entries = layout.entries()?;
            Ok(Some((layout, entries)))
        });
        match listed {
            Ok(Some((layout, entries))) => {
                let names = entries.iter().flat_map(|entry| names_to_delete(entry, &targets));
                let names = names.collect();
                let spellings = targets.iter().map(|one| layout_location(&one.path)).collect();
                removals.add_layout(LayoutRemovals { location, spellings, layout, names });
            }
            // Nothing has been mirrored there yet.
            Ok(None) => {}
            Err(error) => removals.add_error(location, error),
        }
    }
}

fn layout_location(path: &Path) -> String {
    Location::Layout { path: path.to_owned(), name: ImageName::Only }.to_string()
}

/// The names of an entry that the file does not select.
fn names_to_delete(entry: &IndexEntry, targets: &[&NamedLayout<'_>]) -> Vec<(String, Digest)> {
    // Referrers stay as long as their subjects, which pruning looks after.
    if entry.attached_to().is_some() {
        return Vec::new();
    }
    let can_delete = |name: &&String| {
        let tag = tag_in_layout(name);
        let is_selected = |one: &&NamedLayout<'_>| match &one.name {
            Some(ImageName::Layout(own)) => entry.matching_name(own) == Some(name.as_str()),
            _ => false,
        };
        let entries = targets.iter().map(|one| one.entry);
        !targets.iter().any(is_selected) && !is_immutable(entries, &tag) && !belongs_to_digest(&tag)
    };
    let names = entry.names.iter().filter(can_delete);
    names.map(|name| (name.clone(), entry.digest().clone())).collect()
}

/// Whether an entry says that images of this tag never change.
fn is_immutable<'a>(mut entries: impl Iterator<Item = &'a MirrorEntry>, tag: &str) -> bool {
    entries.any(|entry| {
        let at_source = entry.to.iter().filter_map(|to| to.source_tag(tag));
        at_source.chain([tag]).any(|tag| entry.immutable.matches(tag))
    })
}

/// The repositories by name.
fn own_repositories<'a>(targets: &[NamedTarget<'a>]) -> BTreeMap<String, OwnRepository<'a>> {
    let mut owned: BTreeMap<String, OwnRepository<'_>> = BTreeMap::new();
    for target in targets {
        let name = target.to.repository_name();
        let own = owned.entry(name).or_insert_with(|| OwnRepository::new(&target.to));
        own.entries.push(target.entry);
        own.selected.extend(target.tag().map(str::to_owned));
        own.pinned.extend(target.to.digest().cloned());
    }
    owned
}

impl OwnRepository<'_> {
    fn new(reference: &Reference) -> Self {
        Self {
            reference: reference.clone(),
            entries: Vec::new(),
            selected: BTreeSet::new(),
            pinned: HashSet::new(),
        }
    }

    /// Whether no entry selects the tag, and none says that it never changes.
    fn can_delete(&self, tag: &str) -> bool {
        let is_immutable = is_immutable(self.entries.iter().copied(), tag);
        !self.selected.contains(tag) && !is_immutable && !belongs_to_digest(tag)
    }
}
