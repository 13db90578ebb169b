//! The plan of a run, which a target gets before the first write.

use std::collections::HashSet;

use super::BlobPresence;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::name::ImageName;

/// What a run will write. It may be empty: for another tag, or in a server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TargetPlan<'a> {
    /// Manifests and indexes, each once, children before parents; including the index that a root was selected from.
    pub documents: Vec<&'a Document>,
    /// Blobs that will be opened, in the order of the images, with what the target has of each. A target that is not
    /// sequential also accepts other blobs.
    pub blobs: Vec<(&'a Descriptor, BlobPresence)>,
    /// Every name to set, with the digest of its manifest.
    pub names: Vec<(&'a Digest, &'a ImageName)>,
    /// Manifests may reference missing content that is not transferred: the server accepts images in part.
    pub sparse: bool,
    /// Bytes of blobs after which the run stops.
    pub max_bytes: Option<u64>,
}

impl<'a> TargetPlan<'a> {
    /// Documents reachable from the names, children before parents, without indexes that a root was only selected from.
    pub fn named_documents(&self) -> Vec<&'a Document> {
        let mut named: HashSet<&Digest> = self.names.iter().map(|(digest, _)| *digest).collect();
        let mut documents = Vec::new();
        for document in self.documents.iter().rev().copied() {
            if !named.contains(document.digest()) {
                continue;
            }
            named.extend(document.entries().iter().map(|entry| &entry.digest));
            documents.push(document);
        }
        documents.reverse();
        documents
    }

    /// Bytes of blobs still to be transferred by this run.
    pub fn remaining_bytes(&self) -> u64 {
        let remaining = |(descriptor, presence): &(&Descriptor, BlobPresence)| match presence {
            BlobPresence::Complete => 0,
            BlobPresence::Partial(bytes) => descriptor.size.saturating_sub(*bytes),
            _ => descriptor.size,
        };
        let all = self.blobs.iter().map(remaining).fold(0, u64::saturating_add);
        all.min(self.max_bytes.unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::media::MediaType;

    fn manifest(layer: &str) -> Document {
        let blob = |media_type: &str, bytes: &str| json!({"mediaType": media_type, "digest": Digest::sha256(bytes.as_bytes()), "size": bytes.len()});
        let text = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST.as_str(),
            "config": blob(MediaType::OCI_CONFIG.as_str(), "{}"),
            "layers": [blob("application/vnd.oci.image.layer.v1.tar", layer)],
        });
        Document::from_response(text.to_string().into(), &MediaType::OCI_MANIFEST, None).unwrap()
    }

    fn index(children: &[&Document]) -> Document {
        let children: Vec<_> = children.iter().map(|child| child.descriptor()).collect();
        let text = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX.as_str(), "manifests": children,
        });
        Document::from_response(text.to_string().into(), &MediaType::OCI_INDEX, None).unwrap()
    }

    #[test]
    fn named_documents_leave_out_parent_of_chosen_manifest() {
        let [one, two, three] = ["1", "2", "3"].map(manifest);
        let inner = index(&[&one]);
        let outer = index(&[&inner, &two]);
        let chosen_from = index(&[&three, &two]);
        let names = [ImageName::Tag("all".into()), ImageName::Tag("one".into())];
        let plan = TargetPlan {
            documents: vec![&one, &inner, &two, &outer, &three, &chosen_from],
            names: vec![(outer.digest(), &names[0]), (three.digest(), &names[1])],
            ..TargetPlan::default()
        };
        let found: Vec<_> = plan.named_documents().into_iter().map(Document::digest).collect();
        let expected = [&one, &inner, &two, &outer, &three].map(Document::digest);
        assert_eq!(found, expected, "children before parents");
    }

    #[test]
    fn remaining_bytes_exclude_existing_blobs_and_end_at_limit() {
        let bytes = b"ten bytes.";
        let blob = Descriptor::for_bytes(MediaType::OCI_CONFIG, bytes);
        let presences = [
            BlobPresence::Absent,
            BlobPresence::Unknown,
            BlobPresence::Partial(4),
            BlobPresence::Complete,
        ];
        let blobs = presences.map(|presence| (&blob, presence)).to_vec();
        let mut plan = TargetPlan { blobs, ..TargetPlan::default() };
        assert_eq!(plan.remaining_bytes(), 26);
        plan.max_bytes = Some(20);
        assert_eq!(plan.remaining_bytes(), 20);
    }
}
