//! Deletes what a plan says.

use std::collections::{BTreeMap, HashSet};

use super::plan::{Reason, RetentionPlan, SafetyReason};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Repository;

/// What was deleted, and what was not.
#[derive(Default)]
pub(super) struct Deleted {
    pub(super) tags: HashSet<String>,
    /// Tags that were to be deleted and are kept.
    pub(super) kept: BTreeMap<String, SafetyReason>,
    pub(super) manifests: u64,
    /// What could not be deleted, and why.
    pub(super) errors: Vec<(String, Error)>,
}

impl Deleted {
    /// Why a tag that was to be deleted is kept.
    pub(super) fn kept_reason(&self, tag: &str) -> Option<Reason> {
        self.kept.get(tag).copied().map(Reason::Safety)
    }
}

/// Deletes tags and manifests of a repository.
pub(super) struct Deletion<'a> {
    repository: &'a Repository,
    deleted: &'a mut Deleted,
    /// Whether the registry is believed to delete single tags.
    deletes_tags: bool,
    /// Whether the registry is believed to delete manifests.
    deletes_manifests: bool,
}

impl<'a> Deletion<'a> {
    pub(super) fn new(repository: &'a Repository, deleted: &'a mut Deleted) -> Self {
        Self { repository, deleted, deletes_tags: true, deletes_manifests: true }
    }

    /// Deletes the tags and manifests of the plan. A failure does not stop the others, unless the registry deletes nothing.
    pub(super) async fn run(mut self, plan: &RetentionPlan) {
        let manifests: HashSet<&Digest> = plan.manifests.iter().collect();
        let mut by_digest: BTreeMap<&Digest, Vec<&str>> = BTreeMap::new();
        for tag in plan.to_delete() {
            match &tag.digest {
                Some(digest) if manifests.contains(digest) => {
                    by_digest.entry(digest).or_default().push(&tag.name);
                }
                digest => self.delete_shared(&tag.name, digest.as_ref()).await,
            }
        }
        for digest in &plan.manifests {
            let tags = by_digest.get(digest).map(Vec::as_slice).unwrap_or_default();
            if let Err(error) = self.delete_manifest(digest, tags).await {
                let what = if tags.is_empty() { digest.to_string() } else { tags.join(", ") };
                self.deleted.errors.push((what, error));
            }
            if !self.deletes_tags && !self.deletes_manifests {
                break;
            }
        }
    }

    /// Deletes a tag of a manifest that is kept.
    async fn delete_shared(&mut self, tag: &str, digest: Option<&Digest>) {
        match self.delete_tag(tag, digest).await {
            Ok(true) => drop(self.deleted.tags.insert(tag.to_owned())),
            Ok(false) => drop(self.deleted.kept.insert(tag.to_owned(), SafetyReason::Manifest)),
            Err(error) => self.deleted.errors.push((tag.to_owned(), error)),
        }
    }

    /// Deletes a manifest and its tags. Tags first: some registries keep a manifest that has one.
    async fn delete_manifest(&mut self, digest: &Digest, tags: &[&str]) -> Result<()> {
        let mut untagged = Vec::new();
        for tag in tags {
            if self.delete_tag(tag, None).await? {
                untagged.push(*tag);
            }
        }
        self.deleted.tags.extend(untagged.iter().map(|tag| (*tag).to_owned()));
        if !self.deletes_manifests {
            return Ok(());
        }
        match self.repository.delete_manifest_only(digest).await {
            Ok(()) => self.deleted.manifests += 1,
            // Some registries delete what has no tag any more.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                self.deletes_manifests = error.kind() != ErrorKind::Unsupported;
                return if untagged.len() == tags.len() && !tags.is_empty() {
                    tracing::info!("{}", error.chain());
                    Ok(())
                } else {
                    Err(error)
                };
            }
        }
        self.deleted.tags.extend(tags.iter().map(|tag| (*tag).to_owned()));
        Ok(())
    }

    /// Deletes a tag, but not the manifest `needed`. Returns false if the registry cannot.
    async fn delete_tag(&mut self, tag: &str, needed: Option<&Digest>) -> Result<bool> {
        if !self.deletes_tags {
            return Ok(false);
        }
        let deleted = match needed {
            Some(digest) => {
                Box::pin(self.repository.delete_tag_alone(tag, digest, &[], true)).await
            }
            None => self.repository.delete_only_tag(tag).await,
        };
        match deleted {
            Ok(is_deleted) => {
                self.deletes_tags = is_deleted;
                Ok(is_deleted)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}
