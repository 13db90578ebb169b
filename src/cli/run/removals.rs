//! Tags of repositories and names in layouts that are deleted, unless they are too many.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::cli::size::plural;
use crate::content::{Effort, Lookup as _, Presence};
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Result, Side};
use crate::layout::Layout;
use crate::name::ImageName;
use crate::reference::{is_digest_tag, is_referrers_tag, referrers_tag};
use crate::registry::Repository;

/// Tags to delete, by repository, and names in layouts.
pub(in crate::cli) struct Removals {
    repositories: Vec<RepositoryRemovals>,
    layouts: Vec<LayoutRemovals>,
    /// What could not be listed.
    errors: Vec<(String, Error)>,
    max: usize,
}

/// Tags to delete from one repository.
pub(in crate::cli) struct RepositoryRemovals {
    /// `registry/repository`
    pub(in crate::cli) name: String,
    pub(in crate::cli) repository: Repository,
    pub(in crate::cli) tags: Vec<String>,
    /// Manifests to keep, whatever tags they have.
    pub(in crate::cli) pinned: HashSet<Digest>,
}

/// Names to delete from one layout.
pub(in crate::cli) struct LayoutRemovals {
    /// `oci:PATH`
    pub(in crate::cli) location: String,
    /// The location with other spellings of the path.
    pub(in crate::cli) spellings: Vec<String>,
    pub(in crate::cli) layout: Arc<Layout>,
    pub(in crate::cli) names: Vec<(String, Digest)>,
}

/// What was deleted, and what was not.
#[derive(Default)]
pub(in crate::cli) struct Removed {
    pub(in crate::cli) tags: Vec<(String, Digest)>,
    pub(in crate::cli) errors: Vec<(String, Error)>,
}

impl Removed {
    /// Notes that deletion was interrupted.
    pub(in crate::cli) fn interrupt(&mut self) {
        let error = Error::new(ErrorKind::Interrupted, "delete").with_reason("interrupted");
        self.errors.push(("tags to delete".to_owned(), error));
    }
}

impl Removals {
    /// Nothing yet; if there are more than `max` tags, none is deleted.
    pub(in crate::cli) fn new(max: usize) -> Self {
        Self { repositories: Vec::new(), layouts: Vec::new(), errors: Vec::new(), max }
    }

    pub(in crate::cli) fn add(&mut self, removals: RepositoryRemovals) {
        self.repositories.push(removals);
    }

    pub(in crate::cli) fn add_layout(&mut self, removals: LayoutRemovals) {
        self.layouts.push(removals);
    }

    /// Notes that a repository or layout could not be listed.
    pub(in crate::cli) fn add_error(&mut self, name: String, error: Error) {
        self.errors.push((name, error.with_side(Side::Target)));
    }

    /// The names of the tags to delete.
    pub(in crate::cli) fn names(&self) -> Vec<String> {
        let tags = self.repositories.iter();
        let tags = tags.flat_map(|one| one.tags.iter().map(|tag| one.full_name(tag)));
        let names = self.layouts.iter();
        let names = names.flat_map(|one| one.names.iter().map(|(name, _)| one.full_name(name)));
        tags.chain(names).collect()
    }

    /// What could not be listed, and why.
    pub(in crate::cli) fn errors(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.errors.iter().map(|(name, error)| (name.as_str(), error))
    }

    /// The error of a run that would delete more than it may.
    pub(in crate::cli) fn excess(&self) -> Option<Error> {
        excess(self.names().len(), self.max)
    }

    /// Deletes nothing from these repositories and layouts, and warns if it would have.
    pub(in crate::cli) fn skip(&mut self, locations: &HashSet<String>) {
        let skipped = |name: &str, has_tags: bool| {
            if has_tags {
                tracing::warn!("nothing is deleted from {name}, because an image for it failed");
            }
        };
        self.repositories.retain(|one| {
            let is_skipped = locations.contains(&one.repository.endpoint().location);
            skipped(&one.name, is_skipped && !one.tags.is_empty());
            !is_skipped
        });
        self.layouts.retain(|one| {
            let is_skipped = one.spellings.iter().any(|location| locations.contains(location));
            skipped(&one.location, is_skipped && !one.names.is_empty());
            !is_skipped
        });
    }

    /// Deletes the tags, or nothing if they are too many.
    pub(in crate::cli) async fn delete(mut self, removed: &mut Removed) {
        removed.errors.append(&mut self.errors);
        if let Some(error) = self.excess() {
            return removed.errors.push(("nothing was deleted".to_owned(), error));
        }
        for one in &self.repositories {
            one.delete(removed).await;
        }
        for one in &self.layouts {
            one.delete(removed);
        }
    }
}

impl LayoutRemovals {
    /// Deletes the names; their blobs stay until the layout is pruned.
    fn delete(&self, removed: &mut Removed) {
        let named = |(name, digest): &(String, Digest)| (self.full_name(name), digest.clone());
        match self.layout.remove_all(self.names.iter().map(|(name, _)| name.as_str())) {
            Ok(()) => removed.tags.extend(self.names.iter().map(named)),
            Err(error) => removed.errors.push((self.location.clone(), error)),
        }
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}:{name}", self.location)
    }
}

impl RepositoryRemovals {
    /// Leaves out the tags of manifests to keep, so that a plan counts what a run deletes. One request for each tag if
    /// there are such manifests. A tag that cannot be resolved is left to the deletion, which reports it.
    pub(in crate::cli) async fn keep_pinned(&mut self) {
        if self.pinned.is_empty() {
            return;
        }
        let mut tags = Vec::new();
        for tag in std::mem::take(&mut self.tags) {
            let found = self.repository.name(&ImageName::Tag(tag.clone()), Effort::Request).await;
            let digest = found.ok().and_then(Presence::present).map(|found| found.digest);
            if digest.is_none_or(|digest| !self.pinned.contains(&digest)) {
                tags.push(tag);
            }
        }
        self.tags = tags;
    }

    async fn delete(&self, removed: &mut Removed) {
        let mut by_digest: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for tag in &self.tags {
            let name = ImageName::Tag(tag.clone());
            match self.repository.name(&name, Effort::Request).await {
                Ok(found) => {
                    let digest = found.present().map(|found| found.digest);
                    let digest = digest.filter(|digest| !self.pinned.contains(digest));
                    if let Some(digest) = digest {
                        by_digest.entry(digest).or_default().push(tag.clone());
                    }
                }
                Err(error) => removed.errors.push((self.full_name(tag), error)),
            }
        }
        // A registry that deletes manifests only keeps one that an index still lists: the index may be deleted first.
        let mut later = Vec::new();
        for (digest, tags) in by_digest {
            if self.delete_tags(&tags, &digest, removed).await.is_err() {
                later.push((digest, tags));
            }
        }
        for (digest, tags) in later {
            if let Err(error) = self.delete_tags(&tags, &digest, removed).await {
                removed.errors.push((self.full_name(&tags.join(", ")), error));
            }
        }
    }

    async fn delete_tags(
        &self,
        tags: &[String],
        digest: &Digest,
        removed: &mut Removed,
    ) -> Result<()> {
        self.repository.delete_tags(tags, digest).await?;
        removed.tags.extend(tags.iter().map(|tag| (self.full_name(tag), digest.clone())));
        Ok(())
    }

    fn full_name(&self, tag: &str) -> String {
        format!("{}:{tag}", self.name)
    }
}

/// The error of a run that would delete `count` tags, if that is more than it may.
pub(in crate::cli) fn excess(count: usize, max: usize) -> Option<Error> {
    (count > max).then(|| {
        let tags = plural(count as u64, "tag");
        Error::new(
            ErrorKind::Stopped,
            format!("{tags} to delete, more than `--max-delete {max}` allows"),
        )
        .with_detail(ErrorDetail::DeletionLimit)
        .with_hint(format!(
            "look at them with `--plan`, and allow them with `--max-delete {count}`"
        ))
    })
}

/// Whether the tag belongs to an image that has another name: a signature, or a list of referrers.
pub(in crate::cli) fn belongs_to_digest(tag: &str) -> bool {
    is_digest_tag(tag) || is_referrers_tag(tag)
}

/// The manifests that a tag for which [`belongs_to_digest`] is true may belong to. The tag of a list of referrers need not have
/// all of the digest, so it is looked for in the `known` ones.
pub(in crate::cli) fn owners_of_tag<'a>(
    tag: &str,
    known: impl IntoIterator<Item = &'a Digest>,
) -> Vec<Digest> {
    let is_signature = is_digest_tag(tag);
    let name = if is_signature { tag.rsplit_once('.').map_or(tag, |(name, _)| name) } else { tag };
    if let Ok(digest) = name.replacen('-', ":", 1).parse() {
        return vec![digest];
    }
    known.into_iter().filter(|digest| referrers_tag(digest) == tag).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_with_dash_is_no_digest() {
        let image = Digest::sha256(b"x");
        let digest = image.to_string().replacen(':', "-", 1);
        for tag in [digest.clone(), format!("{digest}.sig")] {
            assert!(belongs_to_digest(&tag));
            assert_eq!(owners_of_tag(&tag, []), std::slice::from_ref(&image), "{tag}");
        }
        for tag in ["own-too", "1.0-alpine", "sha256-ab", "latest"] {
            assert!(!belongs_to_digest(tag), "{tag}");
        }
    }

    #[test]
    fn owner_of_tag_with_part_of_digest_is_known_digest() {
        let long: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
        let tag = format!("sha512-{}", "ab".repeat(32));
        assert!(belongs_to_digest(&tag));
        assert_eq!(owners_of_tag(&tag, [&Digest::sha256(b"x"), &long]), [long]);
        assert_eq!(owners_of_tag(&tag, []), []);
    }
}
