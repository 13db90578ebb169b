//! Decides which blobs a repository has: those pushed or mounted there, and those that its manifests reference. The
//! store keeps each blob once, but a blob of another repository is not visible.

use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};

use super::RegistryService;
use super::blobs;
use super::query::QueryParams;
use super::response::{ApiError, ApiResponse, with_bytes};
use super::route::digest;
use super::uploads::blob_created;
use crate::digest::Digest;

impl RegistryService {
    /// Whether the repository has this blob. The caller checks that it still exists in the store.
    pub(super) async fn has_blob(
        &self,
        repository: &str,
        digest: &Digest,
    ) -> Result<bool, ApiError> {
        Ok(self.layout.is_linked(repository, digest)?
            || self.is_referenced(repository, digest).await?)
    }

    /// Whether a manifest of the repository references this blob.
    async fn is_referenced(&self, repository: &str, digest: &Digest) -> Result<bool, ApiError> {
        let names = self.names()?;
        let Some(served) = names.repositories.get(repository) else { return Ok(false) };
        Ok(self.documents.blobs(&self.layout, served).await.contains(digest))
    }

    /// Whether any repository has this blob.
    async fn has_blob_anywhere(&self, digest: &Digest) -> Result<bool, ApiError> {
        if self.layout.is_linked_anywhere(digest)? {
            return Ok(true);
        }
        for served in self.names()?.repositories.values() {
            if self.documents.blobs(&self.layout, served).await.contains(digest) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `GET` and `HEAD` of a blob.
    pub(super) async fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<ApiResponse, ApiError> {
        if !self.has_blob(repository, digest).await? {
            return Err(blobs::unknown_blob(digest));
        }
        blobs::get(&self.layout, digest, method, headers)
    }

    /// `DELETE`: removes the blob from the repository. `prune` deletes its bytes if no other repository has it.
    pub(super) async fn delete_blob(
        &self,
        repository: &str,
        digest: &Digest,
    ) -> Result<ApiResponse, ApiError> {
        let exists = self.layout.stat_blob(digest).is_ok();
        if !(exists && self.has_blob(repository, digest).await?) {
            return Err(blobs::unknown_blob(digest));
        }
        if self.is_referenced(repository, digest).await? {
            let reason = "referenced by a manifest of this repository; delete the manifest first";
            return Err(ApiError::unsupported(reason));
        }
        self.layout.unlink(repository, digest)?;
        Ok(with_bytes(StatusCode::ACCEPTED, ""))
    }

    /// `POST ...?mount=`: links a blob of another repository into this one. Without `from` it may be any repository.
    /// Returns `None` if the blob does not exist there.
    pub(super) async fn mount(
        &self,
        repository: &str,
        query: &QueryParams,
    ) -> Result<Option<ApiResponse>, ApiError> {
        let Some(digest_to_mount) = query.get("mount") else { return Ok(None) };
        let digest_to_mount = digest(digest_to_mount)?;
        let is_available = match query.get("from") {
            Some(from) => self.has_blob(from, &digest_to_mount).await?,
            None => self.has_blob_anywhere(&digest_to_mount).await?,
        };
        if !is_available || self.layout.stat_blob(&digest_to_mount).is_err() {
            return Ok(None);
        }
        self.layout.link(repository, &digest_to_mount)?;
        Ok(Some(blob_created(repository, &digest_to_mount)))
    }
}
