//! What a repository is known to have, so that nothing is asked about blobs that a manifest there proves.

use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};

use super::{Repository, manifest};
use crate::content::{Effort, Incoming, Presence};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document, ParsedDocument};
use crate::error::Result;
use crate::name::ImageName;

/// What this run has learnt about a repository.
#[derive(Default)]
pub(super) struct Known {
    /// Documents and blobs that a manifest at the registry names: it would not have taken it without them.
    proven: HashSet<Digest>,
    /// The other repository of the registry that can lend a blob.
    lenders: HashMap<Digest, String>,
    /// Blobs that the registry itself said it has.
    told: HashSet<Digest>,
    /// Blobs of which that was wrong: they are sent without asking.
    doubted: HashSet<Digest>,
    /// What names were found to stand for, until that was used.
    named: HashMap<ImageName, Option<Descriptor>>,
}

/// How a blob is to be offered.
pub(super) enum Offer {
    /// It is there.
    None,
    /// With the question whether it can be mounted from this repository, which may be the target itself.
    Mount(String),
    /// Without a question.
    Plain,
}

impl Known {
    pub(super) fn offer(&self, digest: &Digest, own: &str) -> Offer {
        if self.doubted.contains(digest) {
            return Offer::Plain;
        }
        if self.proven.contains(digest) {
            return Offer::None;
        }
        Offer::Mount(self.lenders.get(digest).map_or(own, String::as_str).to_owned())
    }

    pub(super) fn is_proven(&self, digest: &Digest) -> bool {
        self.proven.contains(digest)
    }

    pub(super) fn is_lent(&self, digest: &Digest) -> bool {
        self.lenders.contains_key(digest)
    }

    /// The registry said that it has the blob.
    pub(super) fn tell(&mut self, digest: &Digest) {
        self.told.insert(digest.clone());
    }

    /// The blob or document was sent, and taken.
    pub(super) fn sent(&mut self, digest: &Digest) {
        self.proven.insert(digest.clone());
    }

    /// The other repository does not lend, or the registry does not mount.
    pub(super) fn refused(&mut self, from: &str) {
        self.lenders.retain(|_, lender| lender != from);
    }

    /// A manifest was refused because blobs are missing: what was concluded is asked, what was told is not believed, as
    /// far as the registry names it.
    pub(super) fn distrust(&mut self, missing: &[Digest]) {
        self.proven.clear();
        let named = |digest: &Digest| missing.contains(digest);
        let none_is_named = !self.told.iter().any(named);
        let doubted = self.told.extract_if(|digest| none_is_named || named(digest));
        self.doubted.extend(doubted);
    }

    fn prove_all(&mut self, documents: &[Document]) {
        for document in documents {
            self.prove(document);
        }
    }

    /// A registry need not hold layers of a foreign type: with `urls` none has to, and without them not all look.
    fn prove(&mut self, document: &Document) {
        self.proven.insert(document.digest().clone());
        match document.content() {
            ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => {
                let held = document.blobs().filter(|blob| !blob.media_type.is_foreign());
                self.proven.extend(held.map(|blob| blob.digest.clone()));
            }
            // Not the blobs that it lists: many registries look only for its manifests.
            ParsedDocument::Index(index) => {
                let held = index.manifests.iter().filter(|child| child.media_type.is_document());
                self.proven.extend(held.map(|child| child.digest.clone()));
            }
        }
    }
}

impl Repository {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns whether the name stands for this index: then the repository has everything that it lists.
    pub(super) async fn look_for(&self, name: &ImageName, index: &Document) -> Result<()> {
        let there = manifest::head(self, name).await?.present();
        let mut known = self.known();
        if there.as_ref().is_some_and(|there| there.digest == *index.digest()) {
            known.prove(index);
        }
        known.named.insert(name.clone(), there);
        Ok(())
    }

    /// Learns what the repository has of the image; tells whether it has all of it under its name.
    ///
    /// Of a referrer the name does not tell whether it is in the list of its subject: only the answer to a PUT does.
    pub(super) async fn look_at(&self, image: Incoming<'_>) -> Result<bool> {
        let Some(named) = image.documents.last() else { return Ok(false) };
        let known = self.known().named.remove(image.name);
        let there = match known {
            Some(there) => there,
            None => manifest::head(self, image.name).await?.present(),
        };
        if there.as_ref().is_some_and(|there| there.digest == *named.digest()) {
            self.known().prove_all(image.documents);
            return Ok(named.subject().is_none());
        }
        if image.provenance.repositories.contains(&self.address()) {
            // Only its name is new here. Where that is no longer so, the registry says it when it is named.
            self.known().prove_all(image.documents);
        } else if let Some(there) = there {
            self.compare(image, &there).await;
        }
        self.note_lenders(image);
        Ok(false)
    }

    /// Learns from what the name stands for now, which has much in common with what it will stand for.
    async fn compare(&self, image: Incoming<'_>, there: &Descriptor) {
        let Some(former) = self.former(image, there).await else { return };
        self.known().prove(&former);
        let ParsedDocument::Index(index) = former.content() else { return };
        for document in image.documents {
            let ParsedDocument::Manifest(_) = document.content() else { continue };
            if self.known().is_proven(document.digest()) {
                self.known().prove(document);
                continue;
            }
            let platform = &document.descriptor().platform;
            let same = |child: &&Descriptor| platform.is_some() && child.platform == *platform;
            let Some(child) = index.manifests.iter().find(same) else { continue };
            if let Some(former) = self.former(image, child).await {
                self.known().prove(&former);
            }
        }
    }

    /// A document of the registry; read here where it once came from here. One that cannot be had proves nothing.
    async fn former(&self, image: Incoming<'_>, descriptor: &Descriptor) -> Option<Document> {
        let read = image.source.read(descriptor, DOCUMENT_LIMIT, Effort::Local).await;
        let at_hand = read.ok().and_then(Presence::present);
        match at_hand.and_then(|bytes| Document::from_descriptor(bytes, descriptor).ok()) {
            Some(document) => Some(document),
            None => manifest::document(self, descriptor).await.ok(),
        }
    }

    /// Blobs that came from another repository of this registry can be mounted from there.
    fn note_lenders(&self, image: Incoming<'_>) {
        let prefix = format!("{}/", self.transport.http.name);
        let others =
            image.provenance.repositories.iter().filter_map(|origin| origin.strip_prefix(&prefix));
        let nearest = others
            .filter(|other| *other != self.name)
            .max_by_key(|other| common_path(other, &self.name));
        let Some(lender) = nearest else { return };
        let mut known = self.known();
        for document in image.documents {
            for blob in document.blobs() {
                known.lenders.insert(blob.digest.clone(), lender.to_owned());
            }
        }
    }
}

/// Parts at the start that two repository names share: the nearer, the more likely the user may read it.
fn common_path(one: &str, other: &str) -> usize {
    one.split('/').zip(other.split('/')).take_while(|(one, other)| one == other).count()
}
