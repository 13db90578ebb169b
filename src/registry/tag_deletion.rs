//! Deletes a tag where other tags, or indexes, need its manifest.
//!
//! The specification leaves open what else the deletion of a tag deletes: with some registries it is the manifest, and so all of
//! its tags. The first tag that a registry deletes shows which one it is, and what it should not have deleted is put back.

use super::{Repository, manifest};
use crate::content::Presence;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;
use crate::registry::scope::ScopeSet;
use crate::registry::send::TagDeletion;

impl Repository {
    /// Deletes a tag and nothing that others need. Returns false if the registry cannot.
    ///
    /// The manifest of the tag is `digest`. It may be deleted if it is not `needed`, with the tags `to_delete`.
    ///
    /// # Errors
    /// Also if the registry has deleted more, and it could not be put back.
    pub(crate) async fn delete_tag_alone(
        &self,
        tag: &str,
        digest: &Digest,
        to_delete: &[String],
        needed: bool,
    ) -> Result<bool> {
        let mut known = self.transport.tag_deletion.lock().await;
        match *known {
            TagDeletion::Alone => {
                // Others may delete meanwhile.
                drop(known);
                return self.delete_only_tag(tag).await;
            }
            TagDeletion::WithManifest => {
                let found = manifest::head(self, &ImageName::Tag(tag.to_owned())).await?;
                return Ok(matches!(found, Presence::Absent));
            }
            TagDeletion::Unknown | TagDeletion::Undecided => {}
        }
        // One token serves all.
        let repository = Self { scopes: ScopeSet::delete(&self.name), ..self.clone() };
        let document =
            match manifest::resolve(&repository, &ImageName::Digest(digest.clone())).await {
                Ok(document) => document,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return self.delete_dangling(tag).await;
                }
                // It could not be put back, whatever happens.
                Err(error) if !needed && !error.is_transient() => {
                    return self.delete_only_tag(tag).await;
                }
                Err(error) => return Err(error),
            };
        let before = repository.tags().await?;
        if !self.delete_only_tag(tag).await? {
            *known = TagDeletion::Alone;
            return Ok(false);
        }
        match manifest::head(&repository, &ImageName::Digest(digest.clone())).await? {
            Presence::Present(_) => *known = TagDeletion::Alone,
            Presence::Unknown => {}
            Presence::Absent => {
                let lost = repository.lost_tags(before, tag, to_delete).await?;
                let is_first = *known == TagDeletion::Unknown;
                let is_needed = needed
                    || !lost.is_empty()
                    || (is_first && !repository.siblings(to_delete, digest).await?.is_empty());
                if !is_needed {
                    *known = TagDeletion::Undecided;
                    return Ok(true);
                }
                *known = TagDeletion::WithManifest;
                repository.put_back(&document, tag, &lost).await?;
            }
        }
        Ok(true)
    }

    /// Deletes a tag whose manifest is gone, and maybe the tag with it.
    async fn delete_dangling(&self, tag: &str) -> Result<bool> {
        match self.delete_only_tag(tag).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            other => other,
        }
    }

    /// The tags that are gone since they were listed, but should not be.
    async fn lost_tags(
        &self,
        before: Vec<String>,
        tag: &str,
        to_delete: &[String],
    ) -> Result<Vec<String>> {
        let after = match self.tags().await {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let is_lost =
            |other: &String| other != tag && !after.contains(other) && !to_delete.contains(other);
        Ok(before.into_iter().filter(is_lost).collect())
    }

    /// Puts a manifest back that was deleted with a tag, and its other tags.
    async fn put_back(&self, document: &Document, tag: &str, tags: &[String]) -> Result<()> {
        let digest = document.digest();
        let with_tags = match tags {
            [] => digest.to_string(),
            tags => format!("{digest} and its tags {}", tags.join(", ")),
        };
        let names = tags.iter().map(|tag| ImageName::Tag(tag.clone()));
        for name in std::iter::once(ImageName::Digest(digest.clone())).chain(names) {
            manifest::store(self, document, &name).await.map_err(|error| {
                Error::new(error.kind(), format!("put back {with_tags}"))
                    .at(self.full_name())
                    .with_reason(format!("the registry deleted them with the tag {tag}"))
                    .with_hint("push or copy the image again")
                    .with_source(error)
            })?;
        }
        tracing::warn!(
            "{}: this registry deletes the manifest with a tag; {with_tags} were put back after the deletion of {tag}",
            self.full_name()
        );
        Ok(())
    }
}
