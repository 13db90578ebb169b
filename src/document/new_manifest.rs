//! Creates manifests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Document;
use super::referrer::OwnFields;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;

/// The fields of a new manifest. The same content always has the same bytes: annotations are sorted, empty fields omitted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewManifest {
    pub(crate) schema_version: u32,
    pub(crate) media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<MediaType>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl NewManifest {
    /// Returns the document, checked as strictly as a received one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] if it would be rejected when received, [`ErrorKind::Unsupported`] for schema 1.
    pub(crate) fn into_document(self) -> Result<Document> {
        let malformed = |error| {
            Error::new(ErrorKind::InvalidDocument, "manifest")
                .with_reason("malformed")
                .with_source(error)
        };
        let bytes = serde_json::to_vec(&self).map_err(malformed)?;
        // Received documents are not checked for this, because these fields are only displayed.
        serde_json::from_slice::<OwnFields>(&bytes).map_err(malformed)?;
        Document::from_response(bytes.into(), &self.media_type, None)
    }
}
