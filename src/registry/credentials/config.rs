//! The content of an auth file (`auths`, `credHelpers`, `credsStore`) and its precedence for a repository.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::key::{AuthFileFormat, RepositoryKey};

/// A parsed auth file; its entries are parsed on lookup.
#[derive(Default, Deserialize)]
pub(super) struct AuthConfig<'a> {
    #[serde(borrow, default)]
    auths: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(default, rename = "credHelpers")]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "credsStore")]
    creds_store: Option<String>,
}

impl<'a> AuthConfig<'a> {
    /// Parses the text. An empty file has no entries.
    pub(super) fn parse(text: &'a [u8], format: AuthFileFormat) -> serde_json::Result<Self> {
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        if format == AuthFileFormat::Legacy {
            let auths = serde_json::from_slice(text)?;
            return Ok(Self { auths: Some(auths), ..Self::default() });
        }
        serde_json::from_slice(text)
    }

    /// The helper for the repository and the key to pass to it. It precedes all entries except one of a namespace that
    /// is nearer than the helper's key.
    pub(super) fn helper(&self, repository: &RepositoryKey<'_>) -> Option<(String, String)> {
        let own = self
            .cred_helpers
            .as_ref()
            .and_then(|map| repository.best_match(map, AuthFileFormat::Current));
        let helper = match (own, &self.creds_store) {
            (Some((key, name)), _) => (name.clone(), key.to_owned()),
            (None, Some(name)) => (name.clone(), repository.server_key().to_owned()),
            (None, None) => return None,
        };
        let nearest =
            self.auths.as_ref().and_then(|map| repository.best_match(map, AuthFileFormat::Current));
        let helper = match nearest {
            Some((key, entry)) if repository.is_nearer(key, &helper.1) => {
                // A login for the namespace leaves `{}` if the helper keeps its secret.
                let is_kept_there = entry.get().trim_matches(['{', '}', ' ', '\t', '\n', '\r']);
                if !is_kept_there.is_empty() {
                    return None;
                }
                (helper.0, key.to_owned())
            }
            _ => helper,
        };
        // An empty name means that this host's entry is in `auths`, despite `credsStore`.
        Some(helper).filter(|(name, _)| !name.is_empty())
    }

    /// The entry for the repository, and its key.
    pub(super) fn entry(
        &self,
        repository: &RepositoryKey<'_>,
        format: AuthFileFormat,
    ) -> Option<(&str, &'a RawValue)> {
        let (key, entry) = repository.best_match(self.auths.as_ref()?, format)?;
        Some((key, *entry))
    }

    /// The keys of all entries and of the helpers for single registries.
    pub(super) fn keys(&self) -> Vec<String> {
        let entries = self.auths.iter().flatten().map(|(key, _)| key.clone());
        let helpers = self.cred_helpers.iter().flatten().map(|(key, _)| key.clone());
        entries.chain(helpers).collect()
    }
}
