//! Checks that a manifest's content exists before it is stored, so that no name refers to an incomplete image.

use std::collections::HashSet;

use hyper::StatusCode;

use super::RegistryService;
use super::response::ApiError;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;

impl RegistryService {
    /// # Errors
    /// The first blob or manifest that the repository does not have. A sparse registry accepts missing content, but no
    /// descriptor that contradicts existing content.
    pub(super) async fn check_complete(
        &self,
        repository: &str,
        document: &Document,
    ) -> Result<(), ApiError> {
        for blob in document.blobs().filter(|blob| !blob.is_foreign()) {
            self.check_blob(repository, blob).await?;
        }
        let children: Vec<&Descriptor> = document.children().collect();
        if children.is_empty() {
            return Ok(());
        }
        let documents = self.documents_of(repository).await?;
        for child in children {
            let is_complete = if documents.contains(&child.digest) {
                self.layout.read_document(child).is_ok()
            } else {
                self.sparse
            };
            if !is_complete {
                return Err(missing_content("manifest", &child.digest));
            }
        }
        Ok(())
    }

    async fn check_blob(&self, repository: &str, blob: &Descriptor) -> Result<(), ApiError> {
        let is_present =
            blob.digest.algorithm().is_ok() && self.has_blob(repository, &blob.digest).await?;
        let found = if is_present { self.layout.stat_blob(&blob.digest).ok() } else { None };
        match found {
            Some(found) if found.size == blob.size => Ok(()),
            None if self.sparse => Ok(()),
            _ => Err(missing_content("blob", &blob.digest)),
        }
    }

    /// Returns the digests of all documents in the repository.
    async fn documents_of(&self, repository: &str) -> Result<HashSet<Digest>, ApiError> {
        let names = self.names()?;
        let Some(served) = names.repositories.get(repository) else { return Ok(HashSet::new()) };
        let documents = self.documents.reachable(&self.layout, served).await;
        let digests = documents.iter().map(|info| info.descriptor.digest.clone());
        Ok(digests.chain(served.images().map(|image| image.entry.digest())).collect())
    }
}

fn missing_content(kind: &str, digest: &Digest) -> ApiError {
    let reason = format!("{kind} {digest} unknown");
    ApiError::new(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", reason)
}
