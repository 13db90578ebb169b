//! Saves and erases the credential of a login: in docker's `config.json`, or with the helper configured there.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::config::AuthConfig;
use super::credential::Credential;
use super::edit;
use super::entry::AuthEntry;
use super::environment::Environment;
use super::file::{read_all, where_malformed};
use super::helper::Helper;
use super::key::{AuthFileFormat, RepositoryKey};
use crate::error::{Error, ErrorKind, Result};

/// The entry of a host whose secret is in a helper.
const HELPER_ENTRY: &str = "{}";

/// Where the credential for one registry is stored.
pub struct CredentialStore {
    registry: String,
    /// The namespace that the credential is for; empty for the whole registry.
    namespace: String,
    path: PathBuf,
    /// The helper, and its key for the registry.
    helper: Option<(Helper, String)>,
}

impl CredentialStore {
    /// Finds the store for a registry's credential: in the given file, that of `REGISTRY_AUTH_FILE`, or docker's.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the file is invalid or names a missing helper, so that a login fails before it prompts.
    pub async fn locate(
        registry: &str,
        namespace: Option<&str>,
        authfile: Option<PathBuf>,
        environment: &Environment,
    ) -> Result<Self> {
        let path = authfile.or_else(|| environment.registry_auth_file.clone());
        let path = path.or_else(|| environment.docker_file()).ok_or_else(|| {
            Error::new(ErrorKind::Store, "credentials")
                .with_reason("none of `--authfile`, DOCKER_CONFIG and HOME is set")
        })?;
        let namespace = namespace.unwrap_or_default().to_owned();
        let mut keeper = Self { registry: registry.to_owned(), namespace, path, helper: None };
        let programs = environment.path.clone().unwrap_or_default();
        keeper.helper = keeper.find_helper(&programs).await?;
        Ok(keeper)
    }

    /// Saves the credential and replaces the former one.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if the file cannot be written, [`ErrorKind::Denied`] if the helper fails.
    pub async fn save(&self, credential: &Credential) -> Result<()> {
        let entry = match &self.helper {
            Some((helper, key)) => {
                helper.store(key, credential).await?;
                Zeroizing::new(HELPER_ENTRY.to_owned())
            }
            None => AuthEntry::to_json(credential),
        };
        let (registry, namespace) = (self.registry.clone(), self.namespace.clone());
        let written = self
            .edit(move |text| {
                edit::with_entry(text, &RepositoryKey::new(&registry, &namespace), &entry).map(Some)
            })
            .await;
        match written {
            // Only docker's own listings would miss it.
            Err(error) if self.helper.is_some() => tracing::warn!("{}", error.chain()),
            other => drop(other?),
        }
        Ok(())
    }

    /// Erases the credential. Returns whether there was one.
    pub async fn erase(&self) -> Result<bool> {
        let known = match &self.helper {
            Some((helper, key)) => helper.erase(key).await?,
            None => false,
        };
        if !self.path.exists() {
            return Ok(known);
        }
        let (registry, namespace) = (self.registry.clone(), self.namespace.clone());
        let changed = self
            .edit(move |text| edit::without_entry(text, &RepositoryKey::new(&registry, &namespace)))
            .await?;
        Ok(known || changed)
    }

    /// The auth file. With a helper it does not contain the secret.
    pub fn file(&self) -> &Path {
        &self.path
    }

    /// Whether the file contains the secret in plain text.
    pub fn is_plaintext(&self) -> bool {
        self.helper.is_none()
    }

    async fn find_helper(&self, programs: &OsString) -> Result<Option<(Helper, String)>> {
        let path = self.path.clone();
        let text =
            blocking(
                move || {
                    if path.try_exists()? { read_all(&path) } else { Ok(Zeroizing::default()) }
                },
            );
        let text = text.await.map_err(|error| self.fail(ErrorKind::Denied).with_source(error))?;
        let config = AuthConfig::parse(&text, AuthFileFormat::Current)
            .map_err(|error| self.fail(ErrorKind::Denied).with_reason(where_malformed(&error)))?;
        // The host alone decides which helper it is; the helper has a key for each namespace.
        let Some((name, key)) = config.helper(&RepositoryKey::new(&self.registry, "")) else {
            return Ok(None);
        };
        let repository = RepositoryKey::new(&self.registry, &self.namespace);
        let key = if repository.is_namespace() { repository.own_key().into_owned() } else { key };
        Ok(Some((Helper::find(&name, programs)?, key)))
    }

    /// Edits the file. Returns whether anything changed.
    async fn edit(
        &self,
        edit: impl FnOnce(&str) -> serde_json::Result<Option<Zeroizing<String>>> + Send + 'static,
    ) -> Result<bool> {
        let path = self.path.clone();
        let work = move || {
            let mut changed = false;
            super::locked_edit::edit_file(&path, |text| {
                let text = std::str::from_utf8(text).map_err(io::Error::other)?;
                let new = edit(text).map_err(|error| io::Error::other(where_malformed(&error)))?;
                changed = new.is_some();
                Ok(new)
            })?;
            Ok(changed)
        };
        blocking(work).await.map_err(|error| self.fail(ErrorKind::Store).with_source(error))
    }

    fn fail(&self, kind: ErrorKind) -> Error {
        Error::new(kind, "credentials").at(self.path.display().to_string())
    }
}

/// Where the secret is, for messages.
impl fmt::Display for CredentialStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.helper {
            Some((helper, _)) => helper.fmt(f),
            None => self.path.display().fmt(f),
        }
    }
}

impl fmt::Debug for CredentialStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keeper").field(&self.to_string()).finish()
    }
}

/// Runs `f` on a blocking thread: locks and pipes may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
