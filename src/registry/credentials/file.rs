//! One auth file: docker's `config.json`, podman's `auth.json`, `.dockercfg`, or a variable with the same text.
//!
//! Errors give the position in the file, never its content.

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::config::AuthConfig;
use super::credential::Credential;
use super::entry::AuthEntry;
use super::key::{AuthFileFormat, RepositoryKey};
use super::origin::{CredentialOrigin, OriginKind};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;
use crate::size::size;

/// Maximum bytes read of an auth file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Where an auth file is.
pub(super) enum AuthFileSource {
    /// Given by the user.
    Explicit(PathBuf),
    /// A default path; the file may be absent.
    Default(PathBuf),
    /// `.dockercfg`, which consists of `auths` only.
    Legacy(PathBuf),
    /// The value of `DOCKER_AUTH_CONFIG`.
    Environment(Secret),
}

impl fmt::Display for AuthFileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explicit(path) | Self::Default(path) | Self::Legacy(path) => {
                path.display().fmt(f)
            }
            Self::Environment(_) => f.write_str("DOCKER_AUTH_CONFIG"),
        }
    }
}

/// The result of looking up a repository in one auth file.
pub(super) enum AuthLookup {
    Entry {
        credential: Credential,
        /// Key of the entry.
        key: String,
    },
    /// Use this helper with this key; the file's entries do not apply.
    Helper {
        name: String,
        key: String,
    },
    Nothing,
}

/// An auth file, read on first use.
pub(super) struct AuthFile {
    source: AuthFileSource,
    /// `None` if the file does not exist. Read once: it may be a pipe, and its warnings are shown once.
    text: OnceCell<Option<SecretText>>,
}

pub(super) type SecretText = Zeroizing<Vec<u8>>;

impl AuthFile {
    pub(super) fn new(source: AuthFileSource) -> Self {
        Self { source, text: OnceCell::new() }
    }

    /// Looks up a repository.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the file cannot be read or parsed. For a broken variable there is only a warning, as in
    /// docker.
    pub(super) async fn look_up(&self, repository: &RepositoryKey<'_>) -> Result<AuthLookup> {
        let Some(text) = self.text.get_or_try_init(|| self.load()).await? else {
            return Ok(AuthLookup::Nothing);
        };
        match self.search(text, repository) {
            Err(error) if matches!(self.source, AuthFileSource::Environment(_)) => {
                tracing::warn!("{}; ignoring it", error.chain());
                Ok(AuthLookup::Nothing)
            }
            other => other,
        }
    }

    fn search(&self, text: &[u8], repository: &RepositoryKey<'_>) -> Result<AuthLookup> {
        let format = self.format();
        let config = AuthConfig::parse(text, format).map_err(|error| self.malformed(&error))?;
        if let Some((name, key)) = config.helper(repository) {
            return Ok(AuthLookup::Helper { name, key });
        }
        let Some((key, entry)) = config.entry(repository, format) else {
            return Ok(AuthLookup::Nothing);
        };
        // Docker leaves `{}` for a host whose secret is in a store.
        let entry: Option<AuthEntry> =
            serde_json::from_str(entry.get()).map_err(|error| self.malformed(&error))?;
        let credential = entry
            .unwrap_or_default()
            .credential()
            .map_err(|reason| self.error().with_reason(format!("the entry `{key}` {reason}")))?;
        let key = key.to_owned();
        Ok(credential
            .map_or(AuthLookup::Nothing, |credential| AuthLookup::Entry { credential, key }))
    }

    /// The keys of entries and helpers.
    ///
    /// # Errors
    /// Those of [`AuthFile::look_up`].
    pub(super) async fn keys(&self) -> Result<Vec<String>> {
        let Some(text) = self.text.get_or_try_init(|| self.load()).await? else {
            return Ok(Vec::new());
        };
        match AuthConfig::parse(text, self.format()) {
            Ok(config) => Ok(config.keys()),
            // The lookup warns.
            Err(_) if matches!(self.source, AuthFileSource::Environment(_)) => Ok(Vec::new()),
            Err(error) => Err(self.malformed(&error)),
        }
    }

    /// The origin of the credential with this key.
    pub(super) fn origin(&self, key: String) -> CredentialOrigin {
        let kind = match self.source {
            AuthFileSource::Environment(_) => OriginKind::Environment,
            _ => OriginKind::File,
        };
        CredentialOrigin::entry(kind, self.to_string(), key)
    }

    fn format(&self) -> AuthFileFormat {
        match self.source {
            AuthFileSource::Legacy(_) => AuthFileFormat::Legacy,
            _ => AuthFileFormat::Current,
        }
    }

    async fn load(&self) -> Result<Option<SecretText>> {
        let path = match &self.source {
            AuthFileSource::Environment(text) => {
                return Ok(Some(text.expose().as_bytes().to_vec().into()));
            }
            AuthFileSource::Explicit(path)
            | AuthFileSource::Default(path)
            | AuthFileSource::Legacy(path) => path.clone(),
        };
        let required = matches!(self.source, AuthFileSource::Explicit(_));
        let reading = tokio::task::spawn_blocking(move || read(&path, required)).await;
        match reading.map_err(io::Error::other).flatten() {
            Ok(text) => Ok(text),
            // Docker ignores it too: often it is root's, found because HOME was kept.
            Err(error) if !required && error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!("failed to read {self}: {error}; ignoring it");
                Ok(None)
            }
            Err(error) => Err(self.error().with_source(error)),
        }
    }

    fn error(&self) -> Error {
        Error::new(ErrorKind::Denied, "credentials").at(self.to_string())
    }

    fn malformed(&self, error: &serde_json::Error) -> Error {
        self.error().with_reason(where_malformed(error))
    }
}

/// The position alone: serde's message may quote the text.
pub(super) fn where_malformed(error: &serde_json::Error) -> String {
    format!("malformed at line {}, column {}", error.line(), error.column())
}

impl fmt::Display for AuthFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// Reads a file. `None` if an optional one does not exist or is not a regular file.
fn read(path: &Path, required: bool) -> io::Result<Option<SecretText>> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if !required && is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    // A container runtime creates a directory when it is told to mount a missing file.
    if !required && !metadata.is_file() {
        return Ok(None);
    }
    if metadata.is_file() && metadata.mode() & 0o044 != 0 {
        tracing::warn!(
            "{} is readable by other users; restrict it with `chmod 600`",
            path.display()
        );
    }
    read_all(path).map(Some)
}

/// Reads a whole file, up to a limit.
pub(super) fn read_all(path: &Path) -> io::Result<SecretText> {
    let mut text = Zeroizing::new(Vec::new());
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("larger than {}", size(MAX_FILE_BYTES))));
    }
    Ok(text)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Returns user and secret, or a description of another result.
    async fn found(source: AuthFileSource, registry: &str) -> Result<String> {
        Ok(match AuthFile::new(source).look_up(&RepositoryKey::new(registry, "team/app")).await? {
            AuthLookup::Nothing => "nothing".to_owned(),
            AuthLookup::Helper { name, key } => format!("helper {name} {key}"),
            AuthLookup::Entry { credential, .. } => match credential {
                Credential::RegistryToken(token) => format!("registry {}", token.expose()),
                Credential::Basic { user, password } => format!("{user}:{}", password.expose()),
                Credential::IdentityToken { token, basic } => {
                    let basic =
                        basic.map(|(user, password)| format!(" {user}:{}", password.expose()));
                    format!("identity {}{}", token.expose(), basic.unwrap_or_default())
                }
            },
        })
    }

    async fn in_text(text: &str, registry: &str) -> Result<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        found(AuthFileSource::Default(path), registry).await
    }

    #[tokio::test]
    async fn auth_file_entry_is_read_as_docker_does() {
        for (entry, expected) in [
            (r#"{"auth":"dXNlcjpwYXNz"}"#, "user:pass"),
            (r#"{"auth":"dXNlcjpwOmFzcw"}"#, "user:p:ass"),
            (r#"{"auth":"dXNlcjpwYXNzAAA="}"#, "user:pass"),
            (r#"{"auth":"dXNlcjo="}"#, "user:"),
            (r#"{"username":"u","password":"p","email":"x@y"}"#, "u:p"),
            (r#"{"auth":"dXNlcjpwYXNz","username":"u","password":"p"}"#, "user:pass"),
            (r#"{"auth":"dXNlcjpwYXNz","identitytoken":"i"}"#, "identity i user:pass"),
            (r#"{"auth":"dXNlcjo=","identitytoken":"i"}"#, "identity i"),
            (
                r#"{"username":"u","password":"p","identitytoken":"i","registrytoken":"r"}"#,
                "registry r",
            ),
            (r#"{"auth":"PHRva2VuPjp0"}"#, "identity t"),
            ("{}", "nothing"),
            ("null", "nothing"),
        ] {
            let text = format!(r#"{{"auths":{{"h.example":{entry},"other":{{"auth":7}}}}}}"#);
            assert_eq!(in_text(&text, "h.example").await.unwrap(), expected, "{entry}");
        }
    }

    #[tokio::test]
    async fn auth_file_helper_precedes_entry() {
        let text = r#"{
            "auths": {"a.example": {"auth": "dXNlcjpwYXNz"}, "plain.example": {"auth": "dXNlcjpwYXNz"}},
            "credHelpers": {"a.example": "own", "https://index.docker.io/v1/": "hub", "plain.example": ""},
            "credsStore": "all"}"#;
        for (registry, expected) in [
            ("a.example", "helper own a.example"),
            ("docker.io", "helper hub https://index.docker.io/v1/"),
            ("b.example:5000", "helper all b.example:5000"),
            ("plain.example", "user:pass"),
        ] {
            assert_eq!(in_text(text, registry).await.unwrap(), expected);
        }
        let store = in_text(r#"{"credsStore":"all"}"#, "docker.io").await.unwrap();
        assert_eq!(store, "helper all https://index.docker.io/v1/");
    }

    #[tokio::test]
    async fn auth_file_error_names_file_without_content() {
        for text in [
            "canary",
            r#"{"auths":"canary"}"#,
            r#"{"auths":{"h.example":{"username":true,"password":"canary"}}}"#,
            r#"{"auths":{"h.example":{"auth":"canary!"}}}"#,
            // base64 of text without a colon, of a line break in the password
            r#"{"auths":{"h.example":{"auth":"Y2FuYXJ5"}}}"#,
            r#"{"auths":{"h.example":{"auth":"dTpjYW5hcnkK"}}}"#,
            r#"{"auths":{"h.example":{"registrytoken":"canary\n"}}}"#,
            r#"{"credHelpers":{"h.example":["canary"]}}"#,
        ] {
            let error = in_text(text, "h.example").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{text}");
            let shown = format!("{error:?}");
            assert!(shown.contains("config.json") && !shown.contains("canary"), "{shown}");
        }
        for nothing in ["", " \n", "{}", r#"{"auths":null,"credHelpers":null,"HttpHeaders":{}}"#] {
            assert_eq!(in_text(nothing, "h.example").await.unwrap(), "nothing", "{nothing:?}");
        }
    }

    #[tokio::test]
    async fn auth_file_missing_fails_only_if_explicit() {
        let dir = tempfile::tempdir().unwrap();
        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink("/nowhere", &dangling).unwrap();
        for path in [dir.path().to_owned(), dir.path().join("absent"), dangling] {
            assert_eq!(found(AuthFileSource::Default(path.clone()), "h").await.unwrap(), "nothing");
            assert!(found(AuthFileSource::Explicit(path), "h").await.is_err());
        }
    }

    #[tokio::test]
    async fn auth_variable_malformed_is_skipped() {
        let variable = |text: &str| AuthFileSource::Environment(Secret::new(text));
        let whole =
            r#"{"auths":{"h.example":{"auth":"dXNlcjpwYXNz"}},"credHelpers":{"g.example":"g"}}"#;
        assert_eq!(found(variable(whole), "h.example").await.unwrap(), "user:pass");
        assert_eq!(found(variable(whole), "g.example").await.unwrap(), "helper g g.example");
        assert_eq!(found(variable("{"), "h.example").await.unwrap(), "nothing");
    }

    #[tokio::test]
    async fn dockercfg_entry_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".dockercfg");
        std::fs::write(&path, r#"{"https://quay.io/v1/":{"auth":"dXNlcjpwYXNz"}}"#).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(found(AuthFileSource::Legacy(path), "quay.io").await.unwrap(), "user:pass");
    }
}
