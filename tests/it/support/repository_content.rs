//! What a fake registry has in a repository.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::FakeRegistry;
use crate::support::http::Reply;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl FakeRegistry {
    /// The tags of a repository and their digests.
    pub(crate) fn tags_of(&self, repository: &str) -> BTreeMap<String, String> {
        let repositories = self.content.repositories.lock().unwrap();
        repositories.get(repository).map(|held| held.tags.clone()).unwrap_or_default()
    }

    /// The manifests and indexes of a repository by digest.
    pub(crate) fn documents_of(&self, repository: &str) -> HashMap<String, Bytes> {
        let repositories = self.content.repositories.lock().unwrap();
        let Some(held) = repositories.get(repository) else { return HashMap::new() };
        held.documents.iter().map(|(digest, (_, bytes))| (digest.clone(), bytes.clone())).collect()
    }

    /// From now on, deletes the manifest with a tag of the repository, and its other tags.
    pub(crate) fn delete_manifests_with_tags(&self, repository: &str) {
        let (content, tags) = (Arc::clone(&self.content), self.tags_of(repository));
        let repository = repository.to_owned();
        self.disturb(move |request, reply| {
            let tag = request.path.rsplit('/').next().unwrap_or_default();
            if let Some(digest) = tags.get(tag).filter(|_| request.method == "DELETE") {
                let mut repositories = content.repositories.lock().unwrap();
                let held = repositories.entry(repository.clone()).or_default();
                held.documents.remove(digest);
                held.tags.retain(|_, other| other != digest);
            }
            reply
        });
    }

    /// From now on, has the referrers API.
    pub(crate) fn list_referrers(&self) {
        let content = Arc::clone(&self.content);
        self.disturb(move |request, reply| {
            let path = request.path.strip_prefix("/v2/").unwrap_or_default();
            let Some((repository, subject)) = path.rsplit_once("/referrers/") else {
                return reply;
            };
            let repositories = content.repositories.lock().unwrap();
            let documents =
                repositories.get(repository).into_iter().flat_map(|held| &held.documents);
            let listed = documents.filter_map(|(digest, (media_type, bytes))| {
                let document: Value = serde_json::from_slice(bytes).ok()?;
                (document["subject"]["digest"] == subject).then(|| {
                    json!({"mediaType": media_type, "digest": digest, "size": bytes.len(),
                           "artifactType": document["artifactType"]})
                })
            });
            let manifests: Vec<Value> = listed.collect();
            let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
            Reply::new(200, list.to_string()).header("Content-Type", INDEX)
        });
    }
}
