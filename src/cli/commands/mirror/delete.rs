//! Which tags at targets the file no longer selects.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::{StreamExt as _, stream};

use super::ends::Ends;
use super::image::{MirrorImage, NamedTarget, Status};
use crate::cli::run::removals::{Removals, RepositoryRemovals, belongs_to_digest};
use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::mirror::MirrorEntry;
use crate::reference::Reference;

/// Lists of tags that are requested concurrently.
const CONCURRENCY: usize = 8;

/// A repository that the file names as a target.
struct OwnRepository<'a> {
    reference: Reference,
    entries: Vec<&'a MirrorEntry>,
    selected: BTreeSet<String>,
    pinned: HashSet<Digest>,
}

/// Lists the tags of all repositories that the file names as targets. Nothing may go if not all images are known.
pub(super) async fn removals(
    targets: &[NamedTarget<'_>],
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
    for (name, own) in own_repositories(targets) {
        match ends.own_repository(&own.reference) {
            Ok(repository) => listing.push((name, repository, own)),
            Err(error) => removals.add_error(name, error),
        }
    }
    let listing = listing.into_iter().map(|(name, repository, own)| async move {
        let tags = repository.tags().await;
        (name, repository, own, tags)
    });
    let listed = stream::iter(listing.collect::<Vec<_>>()).buffered(CONCURRENCY);
    for (name, repository, own, tags) in listed.collect::<Vec<_>>().await {
        match tags {
            Ok(tags) => {
                let tags = tags.into_iter().filter(|tag| own.may_go(tag)).collect();
                removals.add(RepositoryRemovals { name, repository, tags, pinned: own.pinned });
            }
            // Nothing has been mirrored there yet.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => removals.add_error(name, error),
        }
    }
    removals
}

/// The repositories by name.
fn own_repositories<'a>(targets: &[NamedTarget<'a>]) -> BTreeMap<String, OwnRepository<'a>> {
    let mut owned: BTreeMap<String, OwnRepository<'_>> = BTreeMap::new();
    for target in targets {
        let name = format!("{}/{}", target.to.registry(), target.to.repository());
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
    fn may_go(&self, tag: &str) -> bool {
        let is_immutable = self.entries.iter().any(|entry| {
            let at_source = entry.to.iter().filter_map(|to| to.source_tag(tag));
            at_source.chain([tag]).any(|tag| entry.immutable.matches(tag))
        });
        !self.selected.contains(tag) && !is_immutable && !belongs_to_digest(tag)
    }
}
