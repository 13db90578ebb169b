//! A manifest that is made here, and not received.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Document;
use super::referrer::OwnFields;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;

/// What a new manifest says. The same content always has the same bytes: annotations are sorted, empty fields left out.
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
    /// Its bytes, read as strictly as those of others.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] where it would be refused if it were received, [`ErrorKind::Unsupported`] for schema 1.
    pub(crate) fn into_document(self) -> Result<Document> {
        let malformed = |error| {
            Error::new(ErrorKind::InvalidDocument, "manifest")
                .with_reason("malformed")
                .with_source(error)
        };
        let bytes = serde_json::to_vec(&self).map_err(malformed)?;
        // Of what others made, these are read only where they are shown.
        serde_json::from_slice::<OwnFields>(&bytes).map_err(malformed)?;
        Document::from_response(bytes.into(), &self.media_type, None)
    }
}
