//! Makes indexes of images, and changes them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::composed::EditedImage;
use super::edited_object::{EditedObject, raw};
use super::image::ANNOTATIONS;
use crate::annotation;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{Source, fetch_document};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, EMPTY_INDEX, ParsedDocument, RawIndex, TreeWalk, parse_entry};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::memory::Memory;
use crate::platform::Platform;
use crate::retry::RetryPolicy;
use crate::transfer::read_small;

/// An index that is being made or changed.
pub struct IndexEdit {
    index: RawIndex,
    media_type: MediaType,
    /// The index before any change, and where it came from.
    base: Option<(Arc<dyn Source>, Document)>,
    owners: HashMap<Digest, Arc<dyn Source>>,
    /// The entries of images that were added.
    added: Vec<Descriptor>,
    retry: RetryPolicy,
}

impl std::fmt::Debug for IndexEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexEdit").field("index", &self.index).finish_non_exhaustive()
    }
}

impl IndexEdit {
    /// An index without entries.
    ///
    /// # Errors
    /// None.
    pub fn create(retry: RetryPolicy) -> Result<Self> {
        let index = RawIndex::parse(EMPTY_INDEX.as_bytes()).map_err(malformed)?;
        let media_type = MediaType::OCI_INDEX;
        Ok(Self { index, media_type, base: None, owners: HashMap::new(), added: Vec::new(), retry })
    }

    /// An existing index.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the document is not an index.
    pub fn open(source: Arc<dyn Source>, document: Document, retry: RetryPolicy) -> Result<Self> {
        let ParsedDocument::Index(_) = document.parsed() else {
            return Err(Error::new(ErrorKind::InvalidInput, document.digest().as_str())
                .with_reason("is a manifest and not an index")
                .with_hint("use `rpull index create` to make one"));
        };
        let index = RawIndex::parse(document.bytes()).map_err(malformed)?;
        let media_type = document.descriptor().media_type.clone();
        Ok(Self {
            index,
            media_type,
            base: Some((source, document)),
            owners: HashMap::new(),
            added: Vec::new(),
            retry,
        })
    }

    /// Adds an image, or all entries of an index. An entry that the index had before for the same platform is replaced, with
    /// what refers to it.
    ///
    /// # Errors
    /// Those of the source; [`ErrorKind::Unsupported`] for an artifact; [`ErrorKind::InvalidInput`] if another image was added
    /// for the same platform.
    pub async fn add(&mut self, source: &Arc<dyn Source>, image: &Document) -> Result<()> {
        let added = match image.parsed() {
            // Verbatim: entries may have members that are unknown here.
            ParsedDocument::Index(_) => {
                RawIndex::parse(image.bytes()).map_err(malformed)?.manifests
            }
            ParsedDocument::Manifest(_) => {
                vec![raw("entry", &self.entry_of(source, image).await?)?]
            }
            ParsedDocument::Artifact(_) => {
                return Err(Error::new(ErrorKind::Unsupported, image.digest().as_str())
                    .with_reason("is an artifact, which an index of images does not have"));
            }
        };
        let entries = parse_all(&added)?;
        self.check_platforms(&entries)?;
        self.collect_owners(source, entries.clone()).await?;
        for (added, entry) in added.into_iter().zip(entries) {
            self.remove_matching(|own| {
                own.digest == entry.digest
                    || (!entry.is_attestation() && has_same_platform(own, &entry))
            })?;
            self.index.manifests.push(added);
            self.added.push(entry);
        }
        Ok(())
    }

    fn check_platforms(&self, entries: &[Descriptor]) -> Result<()> {
        for entry in entries.iter().filter(|entry| !entry.is_attestation()) {
            let is_other = |own: &Descriptor| {
                !own.is_attestation() && own.digest != entry.digest && has_same_platform(own, entry)
            };
            if let (true, Some(platform)) = (self.added.iter().any(is_other), &entry.platform) {
                let hint = match self.base {
                    None => {
                        "leave out one of them; `rpull index add` replaces an entry of an index"
                    }
                    Some(_) => "leave out one of them",
                };
                return Err(Error::new(ErrorKind::InvalidInput, format!("platform {platform}"))
                    .with_reason("another of the images is for this platform, too")
                    .with_hint(hint));
            }
        }
        Ok(())
    }

    /// Puts another manifest in place of one: its entry keeps its position, platform and annotations. Attestations of the old
    /// one are removed. Returns how many these are.
    ///
    /// # Errors
    /// Those of the source of the new manifest.
    pub async fn replace(
        &mut self,
        old: &Digest,
        source: &Arc<dyn Source>,
        new: &Document,
    ) -> Result<usize> {
        let descriptor = new.descriptor();
        let about = |own: &Descriptor| {
            own.annotations.get(annotation::REFERENCE_DIGEST).map(String::as_str)
                == Some(old.as_str())
        };
        let attestations = self.remove_matching(about)?;
        for entry in &mut self.index.manifests {
            if parse_entry(entry).map_err(malformed)?.digest != *old {
                continue;
            }
            let mut object = EditedObject::of("entry", entry)?;
            object.set("mediaType", &descriptor.media_type)?;
            object.set("digest", &descriptor.digest)?;
            object.set("size", &descriptor.size)?;
            object.remove("data");
            *entry = raw("entry", &object)?;
        }
        self.collect_owners(source, vec![descriptor.clone()]).await?;
        Ok(attestations)
    }

    /// Removes what the entry of this manifest says about its base, for an image whose
    /// [base has changed](super::ImageEdit::is_base_changed): the manifest says it.
    pub fn remove_base(&mut self, manifest: &Digest) -> Result<()> {
        for entry in &mut self.index.manifests {
            if parse_entry(entry).map_err(malformed)?.digest == *manifest {
                let mut object = EditedObject::of("entry", entry)?;
                object.remove_members(ANNOTATIONS, &annotation::BASE)?;
                *entry = raw("entry", &object)?;
            }
        }
        Ok(())
    }

    /// Removes the entries of a platform, or with a digest, and what refers to them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no entry matches.
    pub fn remove(&mut self, which: &str) -> Result<()> {
        let digest = which.parse::<Digest>().ok().filter(|digest| digest.algorithm().is_ok());
        let removed = if let Some(digest) = digest {
            self.remove_matching(|own| own.digest == digest)?
        } else {
            let platform = which.parse::<Platform>()?.normalized();
            self.remove_matching(|own| {
                let own = own.platform.as_ref().map(Platform::normalized);
                let any_version = own.clone().map(|own| Platform { os_version: None, ..own });
                [own, any_version].contains(&Some(platform.clone()))
            })?
        };
        if removed == 0 {
            return Err(
                Error::new(ErrorKind::NotFound, which).with_reason("the index has no such entry")
            );
        }
        Ok(())
    }

    /// Removes the images that are not among these, with what refers to them.
    pub fn retain(&mut self, kept: &HashSet<Digest>) -> Result<()> {
        let is_removed = |own: &Descriptor| !own.is_attestation() && !kept.contains(&own.digest);
        self.remove_matching(is_removed).map(drop)
    }

    /// Removes entries, and attestations that are about one of them. Returns how many.
    fn remove_matching(&mut self, is_removed: impl Fn(&Descriptor) -> bool) -> Result<usize> {
        let entries = parse_all(&self.index.manifests)?;
        let removed: Vec<&Descriptor> = entries.iter().filter(|own| is_removed(own)).collect();
        let is_about = |own: &Descriptor| {
            let about = own.annotations.get(annotation::REFERENCE_DIGEST);
            about.is_some_and(|about| removed.iter().any(|gone| gone.digest.as_str() == about))
        };
        let mut keep =
            entries.iter().map(|own| !(is_removed(own) || is_about(own))).collect::<Vec<_>>();
        let count = removed.len();
        keep.reverse();
        self.index.manifests.retain(|_| keep.pop().unwrap_or(true));
        Ok(count)
    }

    /// Ends the edit.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] if the index is too large now.
    pub fn build(self) -> Result<EditedImage> {
        let bytes = Bytes::from(self.index.to_vec().map_err(malformed)?);
        let document = Document::from_response(bytes, &self.media_type, None)?;
        Ok(EditedImage::new(document, Memory::default(), Vec::new(), self.base, self.owners))
    }

    /// The entry of a manifest, with the platform in its config.
    async fn entry_of(&self, source: &Arc<dyn Source>, image: &Document) -> Result<Descriptor> {
        let own = image.descriptor();
        let mut entry = Descriptor::new(own.media_type.clone(), own.digest.clone(), own.size);
        entry.platform.clone_from(&own.platform);
        let manifest = image.manifest()?;
        if manifest.config.media_type.is_image_config() {
            let config = read_small(&**source, &manifest.config, CONFIG_LIMIT, self.retry).await?;
            let platform = ImageConfig::parse(&config)?.platform();
            entry.platform = Some(platform).filter(|platform| !platform.is_empty());
        } else {
            entry.artifact_type = image.as_referrer().artifact_type;
        }
        Ok(entry)
    }

    /// Notes for everything below these entries where it is.
    async fn collect_owners(
        &mut self,
        source: &Arc<dyn Source>,
        entries: Vec<Descriptor>,
    ) -> Result<()> {
        let mut walk = TreeWalk::default();
        walk.queue(0, entries);
        while let Some(step) = walk.next_step() {
            self.owners.insert(step.item.digest.clone(), Arc::clone(source));
            if !step.item.media_type.is_document() {
                continue;
            }
            let document = fetch_document(&**source, &step.item).await?;
            for blob in document.blobs() {
                self.owners.insert(blob.digest.clone(), Arc::clone(source));
            }
            walk.queue(step.depth + 1, document.children().cloned());
        }
        Ok(())
    }
}

fn parse_all(entries: &[Box<RawValue>]) -> Result<Vec<Descriptor>> {
    entries.iter().map(|entry| parse_entry(entry)).collect::<Result<_, _>>().map_err(malformed)
}

fn has_same_platform(left: &Descriptor, right: &Descriptor) -> bool {
    let [left, right] = [left, right].map(|own| own.platform.as_ref().map(Platform::normalized));
    left.is_some() && left == right
}

fn malformed(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::InvalidDocument, "index").with_reason("malformed").with_source(error)
}
