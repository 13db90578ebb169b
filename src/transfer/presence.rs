//! What a run knows about the content of a target, and why. Data only: [`crate::transfer::target_state`] asks.

use std::collections::{HashMap, HashSet};

use crate::content::{OpenBlobOptions, Presence};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ParsedDocument};
use crate::name::ImageName;

/// Why a blob or document counts as present at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// A manifest at the target names it, and the target rejects manifests whose content is missing.
    Implied,
    /// The target reported it when the blob was offered: it exists, or it was mounted.
    Confirmed,
    /// This run sent it.
    Sent,
}

/// What one run knows about one target.
#[derive(Debug, Default)]
pub(super) struct KnownContent {
    evidence: HashMap<Digest, Evidence>,
    /// For each blob, the repository of the target's registry that it can be mounted from.
    mount_sources: HashMap<Digest, String>,
    /// Blobs that the target reported as present and lacks. They are sent without asking again.
    resend: HashSet<Digest>,
    /// Answers about names, until they are used.
    names: HashMap<ImageName, Presence<Descriptor>>,
}

impl KnownContent {
    /// Whether the blob or document need not be sent.
    pub(super) fn is_present(&self, digest: &Digest) -> bool {
        self.evidence.contains_key(digest)
    }

    /// Whether the blob can be mounted from another repository.
    pub(super) fn is_mountable(&self, digest: &Digest) -> bool {
        self.mount_sources.contains_key(digest)
    }

    /// Returns how to open the blob for writing.
    pub(super) fn open_options(&self, digest: &Digest) -> OpenBlobOptions {
        OpenBlobOptions {
            mount_from: self.mount_sources.get(digest).cloned(),
            resend: self.resend.contains(digest),
        }
    }

    /// Notes that the target reported the blob as present.
    pub(super) fn mark_confirmed(&mut self, digest: &Digest) {
        self.evidence.insert(digest.clone(), Evidence::Confirmed);
    }

    /// Notes that this run sent the blob or document.
    pub(super) fn mark_sent(&mut self, digest: &Digest) {
        self.evidence.insert(digest.clone(), Evidence::Sent);
    }

    /// Notes that the target has these documents and their content.
    pub(super) fn imply_all(&mut self, documents: &[Document]) {
        for document in documents {
            self.imply(document);
        }
    }

    /// Notes that the target has this document and its content.
    ///
    /// Foreign layers are left out: a registry may lack those with `urls`, and not every registry checks the others. So are blobs that
    /// an index lists: many registries check only its manifests.
    pub(super) fn imply(&mut self, document: &Document) {
        let named: Vec<&Descriptor> = match document.parsed() {
            ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => {
                document.blobs().filter(|blob| !blob.media_type.is_foreign()).collect()
            }
            ParsedDocument::Index(index) => {
                index.manifests.iter().filter(|child| child.media_type.is_document()).collect()
            }
        };
        for digest in named.into_iter().map(|named| &named.digest).chain([document.digest()]) {
            self.evidence.entry(digest.clone()).or_insert(Evidence::Implied);
        }
    }

    /// Notes the repository that these blobs can be mounted from.
    pub(super) fn add_mount_source<'a>(
        &mut self,
        blobs: impl Iterator<Item = &'a Descriptor>,
        from: &str,
    ) {
        self.mount_sources.extend(blobs.map(|blob| (blob.digest.clone(), from.to_owned())));
    }

    /// Discards what was believed, after the target refused a manifest because content is missing. What this run sent stays.
    ///
    /// All implied content is checked again. Of reported content only what `missing` names is sent again; all of it if `missing` names
    /// none of that.
    pub(super) fn invalidate(&mut self, missing: &[Digest]) {
        let is_confirmed =
            |digest: &Digest| self.evidence.get(digest) == Some(&Evidence::Confirmed);
        let none_is_named = !missing.iter().any(is_confirmed);
        let taken_back = self.evidence.extract_if(|digest, evidence| match evidence {
            Evidence::Implied => true,
            Evidence::Confirmed => none_is_named || missing.contains(digest),
            Evidence::Sent => false,
        });
        for (digest, evidence) in taken_back {
            if evidence == Evidence::Confirmed {
                self.resend.insert(digest);
            }
        }
    }

    pub(super) fn remember_name(&mut self, name: &ImageName, found: Presence<Descriptor>) {
        self.names.insert(name.clone(), found);
    }

    /// Takes the answer about this name.
    pub(super) fn take_name(&mut self, name: &ImageName) -> Option<Presence<Descriptor>> {
        self.names.remove(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::MediaType;

    fn digest(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    #[test]
    fn known_content_refused_manifest_takes_back_all_but_sent() {
        let [implied, confirmed, other, sent] =
            ["implied", "confirmed", "other", "sent"].map(digest);
        let new = || {
            let mut known = KnownContent::default();
            known.evidence.insert(implied.clone(), Evidence::Implied);
            known.mark_confirmed(&confirmed);
            known.mark_confirmed(&other);
            known.mark_sent(&sent);
            known
        };
        for (missing, believed) in
            [(vec![confirmed.clone()], true), (vec![implied.clone()], false), (vec![], false)]
        {
            let mut known = new();
            known.invalidate(&missing);
            assert!(!known.is_present(&implied) && !known.is_present(&confirmed), "{missing:?}");
            assert!(known.is_present(&sent), "{missing:?}");
            assert_eq!(known.is_present(&other), believed, "{missing:?}");
            let resend = |digest| known.open_options(digest).resend;
            assert!(
                !resend(&implied) && resend(&confirmed),
                "what was implied is asked: {missing:?}"
            );
            assert_eq!(resend(&other), !believed, "{missing:?}");
        }
    }

    #[test]
    fn known_content_index_implies_its_manifests_only() {
        let entry = |text: &str, media_type| Descriptor::new(media_type, digest(text), 2);
        let entries = [entry("child", MediaType::OCI_MANIFEST), entry("blob", "x/y".into())];
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries,
        });
        let bytes = index.to_string().into();
        let index = Document::from_response(bytes, &MediaType::OCI_INDEX, None).unwrap();
        let mut known = KnownContent::default();
        known.imply(&index);
        assert!(known.is_present(index.digest()) && known.is_present(&digest("child")));
        assert!(!known.is_present(&digest("blob")));
    }
}
