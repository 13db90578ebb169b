//! Keeps what a user logged in with, and forgets it: in docker's `config.json`, or with the helper that it names.

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
use super::key::RepositoryKey;
use crate::error::{Error, ErrorKind, Result};

/// What `{}` says: the secret is with a helper.
const ELSEWHERE: &str = "{}";

/// Where the credential for one registry is kept.
pub struct CredentialStore {
    registry: String,
    /// The part of it that the credential is for; empty for all of it.
    namespace: String,
    path: PathBuf,
    /// The helper, and the key that it knows the registry by.
    helper: Option<(Helper, String)>,
}

impl CredentialStore {
    /// Looks where the credential for a registry belongs: the file that was named, `REGISTRY_AUTH_FILE`, or docker's.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] where the file cannot be understood, or names a helper that is not there: what cannot be
    /// kept need not be asked for.
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

    /// Keeps the credential in place of what was there.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] where the file cannot be written, [`ErrorKind::Denied`] where the helper fails.
    pub async fn save(&self, credential: &Credential) -> Result<()> {
        let entry = match &self.helper {
            Some((helper, key)) => {
                helper.store(key, credential).await?;
                Zeroizing::new(ELSEWHERE.to_owned())
            }
            None => AuthEntry::to_json(credential),
        };
        let (registry, namespace) = (self.registry.clone(), self.namespace.clone());
        let written = self
            .change(move |text| {
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

    /// Forgets the credential; tells whether there was one.
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
            .change(move |text| {
                edit::without_entry(text, &RepositoryKey::new(&registry, &namespace))
            })
            .await?;
        Ok(known || changed)
    }

    /// The file; with a helper it says only where the secret is.
    pub fn file(&self) -> &Path {
        &self.path
    }

    /// Whether the secret is readable in the file.
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
        let config = AuthConfig::parse(&text, false)
            .map_err(|error| self.fail(ErrorKind::Denied).with_reason(where_malformed(&error)))?;
        // Which helper is the host's matter; it keeps each namespace under a key of its own.
        let Some((name, key)) = config.helper(&RepositoryKey::new(&self.registry, "")) else {
            return Ok(None);
        };
        let wanted = RepositoryKey::new(&self.registry, &self.namespace);
        let key = if wanted.is_namespace() { wanted.own_key().into_owned() } else { key };
        Ok(Some((Helper::find(&name, programs)?, key)))
    }

    /// Changes the file; tells whether there was anything to change.
    async fn change(
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

/// Where the secret is, for people.
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

/// Locks and pipes may keep a thread waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
