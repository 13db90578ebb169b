//! The write side of the fake registry: upload sessions, mounts, manifests.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rpull::digest::Digest;
use serde_json::Value;

use super::super::http::{Reply, Request};
use super::RegistryContent;

/// Upload sessions by id, with the bytes received.
#[derive(Default)]
pub(super) struct UploadSessions {
    open: Mutex<HashMap<String, Vec<u8>>>,
    next: AtomicUsize,
}

impl UploadSessions {
    pub(super) fn open(&self) -> usize {
        self.open.lock().unwrap().len()
    }
}

impl RegistryContent {
    /// Answers a write request; `None` for other requests.
    pub(super) fn write(&self, request: &Request) -> Option<Reply> {
        let path = request.path.strip_prefix("/v2/")?;
        if let Some((repository, id)) = path.split_once("/blobs/uploads/") {
            return Some(match request.method.as_str() {
                "POST" => self.offer(repository, request),
                _ => self.upload(repository, id, request),
            });
        }
        let (repository, name) = path.rsplit_once("/manifests/")?;
        match request.method.as_str() {
            "PUT" => Some(self.take_document(repository, name, request)),
            "DELETE" => Some(self.delete_document(repository, name)),
            _ => None,
        }
    }

    /// Deletes a tag, or a manifest with all its tags.
    fn delete_document(&self, repository: &str, name: &str) -> Reply {
        if !name.contains(':') && self.refuses_tag_deletion.load(Ordering::Relaxed) {
            return Reply::error(400, "DIGEST_INVALID", "provided digest did not match");
        }
        let mut repositories = self.repositories.lock().unwrap();
        let held = repositories.entry(repository.to_owned()).or_default();
        let is_known = held.tags.remove(name).is_some() | held.documents.remove(name).is_some();
        held.tags.retain(|_, digest| digest != name);
        if is_known {
            Reply::new(202, "")
        } else {
            Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        }
    }

    fn offer(&self, repository: &str, request: &Request) -> Reply {
        let pairs: HashMap<String, String> = request.pairs().into_iter().collect();
        let may_mount = !self.refuses_mounts.load(Ordering::Relaxed);
        if let (true, Some(digest), Some(from)) = (may_mount, pairs.get("mount"), pairs.get("from"))
        {
            let held = self.blobs.lock().unwrap().get(&(from.clone(), digest.clone())).cloned();
            if let Some(bytes) = held {
                self.blobs.lock().unwrap().insert((repository.to_owned(), digest.clone()), bytes);
                return Reply::new(201, "").header("Docker-Content-Digest", digest.as_str());
            }
        }
        let id = format!("session-{}", self.sessions.next.fetch_add(1, Ordering::Relaxed));
        self.sessions.open.lock().unwrap().insert(id.clone(), Vec::new());
        Reply::new(202, "").header("Location", place(repository, &id, 0))
    }

    fn upload(&self, repository: &str, id: &str, request: &Request) -> Reply {
        let mut open = self.sessions.open.lock().unwrap();
        let Some(arrived) = open.get_mut(id) else {
            return Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
        };
        if request.method == "DELETE" {
            open.remove(id);
            return Reply::new(204, "");
        }
        let pairs: HashMap<String, String> = request.pairs().into_iter().collect();
        if pairs.get("state") != Some(&arrived.len().to_string()) {
            return Reply::error(416, "RANGE_INVALID", "the state is another one by now");
        }
        arrived.extend_from_slice(&request.body);
        let range = format!("0-{}", arrived.len().saturating_sub(1));
        if request.method == "PATCH" || request.method == "GET" {
            let status = if request.method == "GET" { 204 } else { 202 };
            return Reply::new(status, "")
                .header("Location", place(repository, id, arrived.len()))
                .header("Range", range);
        }
        let bytes = Bytes::from(open.remove(id).unwrap());
        let Some(digest) = pairs.get("digest") else {
            return Reply::error(400, "DIGEST_INVALID", "no digest was given");
        };
        if Digest::sha256(&bytes).as_str() != digest {
            return Reply::error(400, "DIGEST_INVALID", "the bytes have another digest");
        }
        self.blobs.lock().unwrap().insert((repository.to_owned(), digest.clone()), bytes);
        Reply::new(201, "").header("Docker-Content-Digest", digest.as_str())
    }

    fn take_document(&self, repository: &str, name: &str, request: &Request) -> Reply {
        let bytes = Bytes::from(request.body.clone());
        if let Some(missing) = self.lacks(repository, &bytes) {
            return Reply::error(400, "MANIFEST_BLOB_UNKNOWN", &missing);
        }
        let digest = Digest::sha256(&bytes).to_string();
        let media_type = request.header("content-type").unwrap_or_default().to_owned();
        let mut repositories = self.repositories.lock().unwrap();
        let held = repositories.entry(repository.to_owned()).or_default();
        held.documents.insert(digest.clone(), (media_type, bytes));
        if !name.contains(':') {
            held.tags.insert(name.to_owned(), digest.clone());
        }
        let mut reply = Reply::new(201, "").header("Docker-Content-Digest", digest.as_str());
        if self.takes_tags.load(Ordering::Relaxed) {
            for (_, tag) in request.pairs().into_iter().filter(|(key, _)| key == "tag") {
                held.tags.insert(tag.clone(), digest.clone());
                reply = reply.header("OCI-Tag", tag);
            }
        }
        reply
    }

    /// Returns a blob or manifest that the document references and the registry lacks.
    fn lacks(&self, repository: &str, bytes: &[u8]) -> Option<String> {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        let list = |key| value.get(key).and_then(Value::as_array).into_iter().flatten();
        let digest = |value: &Value| Some(value.get("digest")?.as_str()?.to_owned());
        let blobs = list("layers").chain(value.get("config"));
        let held = self.blobs.lock().unwrap();
        let absent = |digest: &String| !held.contains_key(&(repository.to_owned(), digest.clone()));
        let missing_blob = blobs.filter_map(digest).find(absent);
        let repositories = self.repositories.lock().unwrap();
        let known = repositories.get(repository);
        let mut children = list("manifests").filter_map(digest);
        // An index may list blobs.
        let unknown = |digest: &String| {
            absent(digest) && known.is_none_or(|held| !held.documents.contains_key(digest))
        };
        missing_blob.or_else(|| children.find(unknown))
    }
}

fn place(repository: &str, id: &str, state: usize) -> String {
    format!("/v2/{repository}/blobs/uploads/{id}?state={state}")
}
