//! Where a credential came from, for messages.

use super::credential::Credential;

/// A credential and where it came from.
#[expect(missing_debug_implementations, reason = "what has no Debug cannot slip into a log")]
#[non_exhaustive]
pub struct FoundCredential {
    /// The credential.
    pub credential: Credential,
    /// Where it came from.
    pub origin: CredentialOrigin,
}

impl FoundCredential {
    pub(super) fn given(credential: &Credential) -> Self {
        Self { credential: credential.clone(), origin: CredentialOrigin::given() }
    }
}

/// Where a credential came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialOrigin {
    /// What kind of source it is.
    pub kind: OriginKind,
    /// Path of the file, name of the variable, or program name of the helper; empty if the caller gave the credential.
    pub name: String,
    /// Key of the entry, or the one that the helper was asked for: a host, a namespace or a URL.
    pub key: String,
    /// The auth file or variable that names the helper.
    pub configured_in: Option<String>,
}

/// What kind of source a credential came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginKind {
    /// Given by the caller, for one registry or for all.
    Given,
    /// An entry of an auth file.
    File,
    /// An entry of an environment variable with the text of an auth file.
    Environment,
    /// A credential helper.
    Helper,
}

impl CredentialOrigin {
    fn given() -> Self {
        Self::entry(OriginKind::Given, String::new(), String::new())
    }

    pub(super) fn entry(kind: OriginKind, name: String, key: String) -> Self {
        Self { kind, name, key, configured_in: None }
    }

    pub(super) fn helper(program: String, key: String, configured_in: String) -> Self {
        let configured_in = Some(configured_in);
        Self { kind: OriginKind::Helper, name: program, key, configured_in }
    }
}
