//! Sources of passwords and tokens: an option, an auth file, docker's and podman's files, credential helpers.
//!
//! Docker and podman read the same files a little differently. One rule applies here to all: `credHelpers`, then
//! `credsStore`, then `auths`, where the key of the repository or its nearest namespace precedes that of the host. A
//! file without a match passes on to the next one; a helper that fails ends the lookup.

mod config;
mod credential;
mod credential_store;
mod edit;
mod entry;
mod environment;
mod file;
mod helper;
mod helper_process;
mod key;
mod locked_edit;
mod origin;

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

pub(super) use self::credential::pair;
pub use self::credential::{Credential, from_user, parse_creds};
pub use self::credential_store::CredentialStore;
pub use self::environment::Environment;
use self::file::{AuthFile, AuthFileSource, AuthLookup};
use self::helper::Helper;
use self::key::RepositoryKey;
pub use self::origin::{CredentialOrigin, FoundCredential, OriginKind};
use crate::error::{Error, ErrorKind, Result};
use crate::setters::setters;

/// Where credentials are looked up; by default nowhere.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "what has no Debug cannot slip into a log")]
#[non_exhaustive]
pub struct CredentialOptions {
    /// For every registry; disables all other sources.
    pub explicit: Option<Credential>,
    /// The only auth file; it must exist.
    pub authfile: Option<PathBuf>,
    /// Locates the default files.
    pub environment: Environment,
}

impl CredentialOptions {
    setters! {
        optional explicit: Credential;
        optional into authfile: PathBuf;
        value environment: Environment;
    }
}

/// Finds the credential for a repository. Files are read on the first lookup.
pub struct Credentials {
    explicit: Option<Credential>,
    /// Credentials of single registries; they precede everything else.
    given: HashMap<String, Credential>,
    on_trial: bool,
    files: Vec<AuthFile>,
    /// The `PATH` that helpers are searched in.
    path: OsString,
}

impl Credentials {
    /// No sources: every registry is used anonymously.
    pub fn anonymous() -> Self {
        Self {
            explicit: None,
            given: HashMap::new(),
            on_trial: false,
            files: Vec::new(),
            path: OsString::new(),
        }
    }

    /// Only this credential, to be stored after a login: token servers are asked for an identity token to store
    /// instead.
    pub fn for_login(credential: Credential) -> Self {
        Self { explicit: Some(credential), on_trial: true, ..Self::anonymous() }
    }

    pub(super) fn is_for_login(&self) -> bool {
        self.on_trial
    }

    /// Selects the sources; reads nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a file that the user named does not exist.
    pub fn new(options: CredentialOptions) -> Result<Self> {
        let CredentialOptions { explicit, authfile, environment } = options;
        let only = match (authfile, &environment.registry_auth_file) {
            (Some(path), _) => Some(("--authfile", path)),
            (None, Some(path)) => Some(("REGISTRY_AUTH_FILE", path.clone())),
            (None, None) => None,
        };
        let files = match only {
            _ if explicit.is_some() => Vec::new(),
            Some((what, path)) => {
                if let Err(error) = std::fs::metadata(&path) {
                    return Err(Error::new(ErrorKind::InvalidInput, what)
                        .at(path.display().to_string())
                        .with_source(error));
                }
                vec![AuthFile::new(AuthFileSource::Explicit(path))]
            }
            None => environment.auth_files().into_iter().map(AuthFile::new).collect(),
        };
        let path = environment.path.unwrap_or_default();
        Ok(Self { explicit, given: HashMap::new(), on_trial: false, files, path })
    }

    /// Uses this credential for one registry (`host[:port]`, or `docker.io`), before all other sources. No other registry
    /// gets it.
    #[must_use]
    pub fn with(mut self, registry: impl Into<String>, credential: Credential) -> Self {
        self.given.insert(registry.into(), credential);
        self
    }

    /// The credential for a repository of a registry (`host[:port]`, or `docker.io`), if any.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if a file is invalid or a helper fails. Neither is skipped, because a later source may
    /// hold another user's credential.
    pub async fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>> {
        let found = self.find_with_origin(registry, repository).await?;
        Ok(found.map(|found| found.credential))
    }

    /// As [`Credentials::find`], with where the credential came from.
    ///
    /// # Errors
    /// Those of [`Credentials::find`].
    pub async fn find_with_origin(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<FoundCredential>> {
        match &self.explicit {
            Some(explicit) if !self.given.contains_key(registry) => {
                Ok(Some(FoundCredential::given(explicit)))
            }
            _ => self.look_up(registry, repository).await,
        }
    }

    /// Like [`Credentials::find`], for a host that the user did not name: without the credential for every registry.
    pub(super) async fn find_of_host(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>> {
        let found = self.look_up(registry, repository).await?;
        Ok(found.map(|found| found.credential))
    }

    async fn look_up(&self, registry: &str, repository: &str) -> Result<Option<FoundCredential>> {
        if let Some(credential) = self.given.get(registry) {
            return Ok(Some(FoundCredential::given(credential)));
        }
        if registry.contains(char::is_control) || repository.contains(char::is_control) {
            return Err(Error::new(ErrorKind::Denied, "credentials")
                .at(registry)
                .with_reason("the name contains control characters"));
        }
        let repository = RepositoryKey::new(registry, repository);
        for file in &self.files {
            let found = match file.look_up(&repository).await? {
                AuthLookup::Entry { credential, key } => Some((credential, file.origin(key))),
                AuthLookup::Helper { name, key } => {
                    let helper = Helper::find(&name, &self.path)?;
                    let credential = helper.get(&key).await?;
                    let origin =
                        CredentialOrigin::helper(helper.to_string(), key, file.to_string());
                    credential.map(|credential| (credential, origin))
                }
                AuthLookup::Nothing => None,
            };
            if let Some((credential, origin)) = found {
                tracing::debug!("using the credential for {registry} from {file}");
                return Ok(Some(FoundCredential { credential, origin }));
            }
        }
        Ok(None)
    }

    /// The first source with an entry for a registry or namespace, for messages. A source that cannot be read has none.
    pub async fn first_source(&self, registry: &str, namespace: Option<&str>) -> Option<String> {
        let repository = RepositoryKey::new(registry, namespace.unwrap_or_default());
        for file in &self.files {
            if !matches!(file.look_up(&repository).await, Ok(AuthLookup::Nothing) | Err(_)) {
                return Some(file.to_string());
            }
        }
        None
    }

    /// The keys of all entries and helpers in the auth files: hosts, namespaces and URLs, sorted. A store for all credentials
    /// (`credsStore`) is not asked; docker leaves an empty entry for each that it has.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if a file is invalid.
    pub async fn keys(&self) -> Result<Vec<String>> {
        let mut keys = BTreeSet::new();
        for file in &self.files {
            keys.extend(file.keys().await?);
        }
        Ok(keys.into_iter().collect())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn user_of(credential: Option<Credential>) -> String {
        match credential {
            Some(Credential::Basic { user, .. }) => user,
            Some(_) => "token".to_owned(),
            None => "anonymous".to_owned(),
        }
    }

    fn entry(user: &str) -> String {
        format!(r#"{{"auths":{{"h.example":{{"username":"{user}","password":"x"}}}}}}"#)
    }

    async fn find(options: CredentialOptions) -> String {
        user_of(Credentials::new(options).unwrap().find("h.example", "a/b").await.unwrap())
    }

    #[tokio::test]
    async fn first_source_with_entry_wins() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        write(".docker/config.json", &entry("docker"));
        let environment = Environment { home: Some(home.path().into()), ..Environment::default() };
        let options = |authfile: Option<&PathBuf>, environment: &Environment| CredentialOptions {
            explicit: None,
            authfile: authfile.cloned(),
            environment: environment.clone(),
        };
        assert_eq!(find(options(None, &environment)).await, "docker");
        write(".config/containers/auth.json", r#"{"auths":{"h.example":{}}}"#);
        assert_eq!(
            find(options(None, &environment)).await,
            "docker",
            "an empty entry is no answer"
        );
        write(".config/containers/auth.json", &entry("podman"));
        assert_eq!(find(options(None, &environment)).await, "podman");
        let variable = Some(Secret::new(entry("variable")));
        let environment = Environment { docker_auth_config: variable, ..environment };
        assert_eq!(find(options(None, &environment)).await, "variable");

        let empty = write("empty.json", "{}");
        let environment = Environment { registry_auth_file: Some(empty.clone()), ..environment };
        assert_eq!(find(options(None, &environment)).await, "anonymous", "exclusive");
        let named = write("named.json", &entry("named"));
        assert_eq!(find(options(Some(&named), &environment)).await, "named");
        let explicit = CredentialOptions {
            explicit: Some(parse_creds("typed:x").unwrap()),
            ..options(Some(&empty), &environment)
        };
        assert_eq!(find(explicit).await, "typed");

        let given = Credentials::new(options(Some(&named), &environment)).unwrap();
        let given = given.with("h.example", parse_creds("given:x").unwrap());
        assert_eq!(user_of(given.find("h.example", "a/b").await.unwrap()), "given");
        assert_eq!(user_of(given.find("other.example", "a/b").await.unwrap()), "anonymous");

        let absent = home.path().join("absent");
        let error = Credentials::new(options(Some(&absent), &environment)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn missing_helper_is_error() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.json"), r#"{"credsStore":"gone"}"#).unwrap();
        std::fs::write(home.path().join(".dockercfg"), r#"{"h.example":{"auth":"dTpw"}}"#).unwrap();
        let environment = Environment {
            home: Some(home.path().into()),
            docker_config: Some(home.path().into()),
            path: Some(home.path().into()),
            ..Environment::default()
        };
        let options = CredentialOptions { explicit: None, authfile: None, environment };
        let error = Credentials::new(options).unwrap().find("h.example", "a").await.err().unwrap();
        assert!(error.kind() == ErrorKind::Denied);
        assert!(error.to_string().contains("docker-credential-gone"), "{error}");
    }

    #[tokio::test]
    async fn line_break_in_name_is_rejected() {
        let credentials = Credentials::anonymous();
        assert!(credentials.find("h.example\nprotocol=x", "a").await.is_err());
        assert!(credentials.find("h.example", "a\r").await.is_err());
        assert!(credentials.find("h.example", "a").await.unwrap().is_none());
    }

    #[test]
    fn creds_option_splits_at_first_colon() {
        match parse_creds("robot$ci+x:a:b").unwrap() {
            Credential::Basic { user, password } => {
                assert_eq!((user.as_str(), password.expose()), ("robot$ci+x", "a:b"));
            }
            _ => panic!("not a user"),
        }
        assert!(matches!(parse_creds("<token>:t").unwrap(), Credential::IdentityToken { .. }));
        for bad in ["canary", ":canary", "canary:x\n", ""] {
            let error = parse_creds(bad).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn debug_output_hides_secrets() {
        let explicit = Some(parse_creds("canary:canary").unwrap());
        let environment = Environment {
            docker_auth_config: Some(Secret::new("canary")),
            ..Environment::default()
        };
        assert!(!format!("{environment:?}").contains("canary"));
        let options = CredentialOptions { explicit, authfile: None, environment };
        assert!(!format!("{:?}", Credentials::new(options).unwrap()).contains("canary"));
    }
}
