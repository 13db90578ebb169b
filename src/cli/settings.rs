//! Turns options and environment variables into the library's options.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{CommonArgs, ProgressKind, SideOptions};
use super::format::NamedFormat;
use super::{config_file, output};
pub(super) use crate::builders::not_in_store;
use crate::control::Control;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::layout::Layout;
use crate::reference::Reference;
use crate::registry::credentials::{
    Credential, CredentialOptions, CredentialStore, Credentials, Environment, parse_creds,
};
use crate::registry::{Client, HostLimit, HostLimits, Mirrors, RegistryOptions};
use crate::retry::RetryPolicy;
use crate::transfer::PlatformRequest;

/// How to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgressMode {
    Bars,
    Lines,
    Nothing,
}

/// Whether a client fetches foreign layers, from the URLs in their descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForeignLayers {
    Fetch,
    Ignore,
}

impl ForeignLayers {
    pub(super) fn fetch_if(included: bool) -> Self {
        if included { Self::Fetch } else { Self::Ignore }
    }
}

/// Options that all commands share.
#[derive(Clone)]
pub(super) struct Settings {
    /// `--store`, if given; see [`Settings::store`].
    store: Option<PathBuf>,
    /// `--ledger`, if given.
    pub(super) ledger: Option<PathBuf>,
    pub(super) offline: bool,
    /// Print the result as JSON, or by a template.
    pub(super) json: bool,
    /// `--format`, if it is a name.
    pub(super) format: Option<NamedFormat>,
    /// Print results only.
    pub(super) quiet: bool,
    pub(super) progress: ProgressMode,
    pub(super) retry: RetryPolicy,
    /// Requests that the command sends to a host concurrently.
    connections: usize,
    /// Limits of hosts, which all clients of the command keep together.
    limits: HostLimits,
    /// Mirrors, which all clients of the command use.
    mirrors: Mirrors,
    /// Cancels the command, and shows its progress.
    pub(super) control: Control,
    registry: crate::cli::args::RegistryArgs,
}

impl Settings {
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the configuration file is wrong, or the given one cannot be read.
    pub(super) fn new(common: CommonArgs, format: Option<NamedFormat>) -> Result<Self> {
        let display = Display {
            quiet: common.quiet,
            has_cursor: output::stderr_is_terminal() && has_cursor(std::env::var_os("TERM")),
        };
        Ok(Self {
            limits: config_file::host_limits(common.config.as_deref())?,
            mirrors: mirrors(&common.registry)?,
            store: common.store,
            ledger: common.ledger,
            offline: common.offline,
            json: common.json || format == Some(NamedFormat::Json),
            format,
            quiet: common.quiet,
            progress: progress_mode(common.progress, display),
            retry: retry_policy(&common.registry),
            connections: RegistryOptions::default().connections,
            control: Control::default(),
            registry: common.registry,
        })
    }

    /// Returns these settings for one side of a copy, with the options given for that side.
    pub(super) fn for_side(&self, options: impl Into<SideOptions>) -> Self {
        let (mut side, options) = (self.clone(), options.into());
        let registry = &mut side.registry;
        if options.creds.is_some() || options.authfile.is_some() {
            registry.creds = options.creds;
            registry.authfile = options.authfile;
        }
        // The key belongs to the certificate.
        if options.cert_file.is_some() {
            registry.cert_file = options.cert_file;
            registry.key_file = options.key_file;
        }
        registry.ca_file = options.ca_file.or(registry.ca_file.take());
        registry.internal_host.extend(options.internal_host);
        registry.plain_http |= options.plain_http;
        registry.insecure |= options.insecure;
        side
    }

    /// Returns these settings with another store.
    pub(super) fn with_store(&self, store: PathBuf) -> Self {
        Self { store: Some(store), ..self.clone() }
    }

    /// Returns these settings for a command with this control.
    pub(super) fn with_control(&self, control: Control) -> Self {
        Self { control, ..self.clone() }
    }

    /// Returns these settings for a command that moves this many blobs concurrently.
    pub(super) fn with_jobs(&self, jobs: usize) -> Self {
        Self { connections: jobs, ..self.clone() }
    }

    /// Returns these settings with the limits of a host, instead of those in the configuration.
    pub(super) fn with_limit(&self, host: &str, limit: HostLimit) -> Result<Self> {
        Ok(Self { limits: self.limits.clone().with(host, limit)?, ..self.clone() })
    }

    /// Returns whether both have the same `--creds`.
    pub(super) fn has_creds_of(&self, other: &Self) -> bool {
        self.registry.creds.is_some() && self.registry.creds == other.registry.creds
    }

    /// # Errors
    /// [`ErrorKind::InvalidInput`] if `--creds` would be sent to several registries: none may see the password for
    /// another.
    pub(super) fn check_creds<'a>(
        &self,
        images: impl IntoIterator<Item = &'a Reference>,
    ) -> Result<()> {
        let mut registries = images.into_iter().map(Reference::registry);
        if let (Some(_), Some(one)) = (&self.registry.creds, registries.next())
            && let Some(other) = registries.find(|other| *other != one)
        {
            let reason =
                format!("applies to one registry, but the images are from `{one}` and `{other}`");
            return Err(Error::new(ErrorKind::InvalidInput, "`--creds`")
                .with_reason(reason)
                .with_detail(ErrorDetail::AmbiguousCredential));
        }
        Ok(())
    }

    /// Whether `--creds` gives a credential, whatever the registry.
    pub(super) fn has_creds(&self) -> bool {
        self.registry.creds.is_some()
    }

    fn check_online(&self, what: &str) -> Result<()> {
        if !self.offline {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, what)
            .with_reason("not in the store, and `--offline` disables registry access")
            .with_detail(ErrorDetail::NotInStore))
    }

    /// Returns a client for registries.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with `--offline`: `what` would need a registry.
    pub(super) fn client(&self, what: &str, foreign: ForeignLayers) -> Result<Client> {
        self.registry_options(what, foreign).map(Client::new)
    }

    /// Returns these settings without mirrors, unless `--hosts-dir` names them.
    pub(super) fn without_found_mirrors(&self) -> Self {
        match self.registry.hosts_dir {
            Some(_) => self.clone(),
            None => Self { mirrors: Mirrors::default(), ..self.clone() },
        }
    }

    /// Returns the options of a client; errors as for [`Settings::client`].
    pub(super) fn registry_options(
        &self,
        what: &str,
        foreign: ForeignLayers,
    ) -> Result<RegistryOptions> {
        self.check_online(what)?;
        let credentials = self.credentials()?;
        let foreign_layers = foreign == ForeignLayers::Fetch;
        let mirrors = self.mirrors.clone();
        Ok(RegistryOptions { mirrors, foreign_layers, ..self.options(credentials)? })
    }

    /// Returns a client that uses only this credential, to log in with it.
    pub(super) fn client_with(&self, what: &str, credential: Credential) -> Result<Client> {
        self.check_online(what)?;
        Ok(Client::new(self.options(Credentials::for_login(credential))?))
    }

    fn options(&self, credentials: Credentials) -> Result<RegistryOptions> {
        let typed = &self.registry;
        for (option, path) in [
            ("--ca-file", &typed.ca_file),
            ("--cert-file", &typed.cert_file),
            ("--key-file", &typed.key_file),
        ] {
            if let Some(path) = path
                && let Err(error) = std::fs::metadata(path)
            {
                return Err(Error::new(ErrorKind::InvalidInput, option)
                    .at(path.display().to_string())
                    .with_source(error));
            }
        }
        Ok(RegistryOptions {
            plain_http: typed.plain_http,
            insecure: typed.insecure,
            internal_hosts: typed.internal_host.clone(),
            ca_file: typed.ca_file.clone(),
            cert_file: typed.cert_file.clone(),
            key_file: typed.key_file.clone(),
            retry: self.retry,
            connections: self.connections,
            limits: self.limits.clone(),
            redactor: output::redactor(),
            ..RegistryOptions::in_environment(&Environment::from_process(), credentials)
        })
    }

    fn credential_options(&self) -> Result<CredentialOptions> {
        Ok(CredentialOptions {
            explicit: self.creds()?,
            authfile: self.registry.authfile.clone(),
            environment: Environment::from_process(),
        })
    }

    /// Returns the credentials that commands with these options use.
    pub(super) fn credentials(&self) -> Result<Credentials> {
        Credentials::new(self.credential_options()?)
    }

    /// Parses `--creds`.
    pub(super) fn creds(&self) -> Result<Option<Credential>> {
        self.registry.creds.as_deref().map(parse_creds).transpose()
    }

    /// Returns the file or helper that stores the credential for a registry.
    pub(super) async fn credential_store(
        &self,
        registry: &str,
        namespace: Option<&str>,
    ) -> Result<CredentialStore> {
        let authfile = self.registry.authfile.clone();
        CredentialStore::locate(registry, namespace, authfile, &Environment::from_process()).await
    }

    /// Returns the source from which later commands will read the credential for a registry.
    pub(super) async fn credential_source(
        &self,
        registry: &str,
        namespace: Option<&str>,
    ) -> Option<String> {
        let options = CredentialOptions { explicit: None, ..self.credential_options().ok()? };
        Credentials::new(options).ok()?.first_source(registry, namespace).await
    }

    /// Returns the directory of the local store.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if neither an option nor the environment sets it.
    pub(super) fn store(&self) -> Result<PathBuf> {
        self.store.clone().or_else(Layout::default_path).ok_or_else(|| {
            Error::new(ErrorKind::Store, "store")
                .with_reason(
                    "none of `--store`, RPULL_STORE, XDG_DATA_HOME and HOME is set to a directory",
                )
                .with_detail(ErrorDetail::NoStorePath)
        })
    }

    /// Opens the local store for reading; `None` if it does not exist.
    pub(super) fn existing_store(&self) -> Result<Option<Arc<Layout>>> {
        existing_layout(&self.store()?, &self.control)
    }

    /// Opens the local store if it is set and exists. For commands that can also read from a registry.
    pub(super) fn store_if_any(&self) -> Result<Option<Arc<Layout>>> {
        self.store().map_or(Ok(None), |path| existing_layout(&path, &self.control))
    }

    /// Opens the local store for a command that needs the image `name` in it.
    pub(super) fn store_with(&self, name: &str) -> Result<Arc<Layout>> {
        self.existing_store()?.ok_or_else(|| not_in_store(name))
    }
}

fn mirrors(typed: &crate::cli::args::RegistryArgs) -> Result<Mirrors> {
    match &typed.hosts_dir {
        Some(dir) if dir.is_dir() => Ok(Mirrors::in_hosts_dir(dir)),
        Some(dir) => Err(Error::new(ErrorKind::InvalidInput, "`--hosts-dir`")
            .at(dir.display().to_string())
            .with_reason("not a directory")),
        None if typed.no_mirrors => Ok(Mirrors::default()),
        None => Ok(Mirrors::from_env(&Environment::from_process())),
    }
}

fn retry_policy(typed: &crate::cli::args::RegistryArgs) -> RetryPolicy {
    let usual = RetryPolicy::default();
    RetryPolicy {
        attempts: typed.retries.map(|retries| retries.saturating_add(1)),
        retry_for: typed.retry_for.unwrap_or(usual.retry_for),
        max_retry_after: typed.retry_for.unwrap_or(usual.max_retry_after),
        ..usual
    }
}

/// Opens the layout at this path. `None` if it does not exist.
pub(super) fn existing_layout(path: &Path, control: &Control) -> Result<Option<Arc<Layout>>> {
    match Layout::open_with_control(path, control) {
        Ok(layout) => Ok(Some(Arc::new(layout))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the requested platform: the option, else `DOCKER_DEFAULT_PLATFORM`, else the host's.
pub(super) fn platform(typed: Option<&str>) -> Result<PlatformRequest> {
    explicit_platform(typed)?.map_or_else(PlatformRequest::from_env, Ok)
}

/// Returns the platform of the option.
pub(super) fn explicit_platform(typed: Option<&str>) -> Result<Option<PlatformRequest>> {
    typed.map(|text| text.parse().map(PlatformRequest::explicit)).transpose()
}

/// Returns whether the store has an image of this name. A store that cannot be read has none: this runs before the
/// command, and so before it is known whether it needs the store.
pub(super) fn stored(typed: Option<PathBuf>, image: &Reference) -> bool {
    let path = typed.or_else(Layout::default_path);
    let store = path.and_then(|path| Layout::open(&path).ok());
    let entry = store.and_then(|store| store.entry(&image.to_string()).ok());
    entry.flatten().is_some()
}

/// What stderr is, and may be used for.
#[derive(Clone, Copy)]
struct Display {
    quiet: bool,
    /// It is a terminal with cursor control, which bars need.
    has_cursor: bool,
}

fn progress_mode(kind: ProgressKind, display: Display) -> ProgressMode {
    match kind {
        _ if display.quiet => ProgressMode::Nothing,
        ProgressKind::None => ProgressMode::Nothing,
        ProgressKind::Tty | ProgressKind::Auto if display.has_cursor => ProgressMode::Bars,
        ProgressKind::Tty | ProgressKind::Auto | ProgressKind::Plain => ProgressMode::Lines,
    }
}

/// Returns whether a terminal of this `TERM` has cursor control.
fn has_cursor(term: Option<OsString>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_without_cursor_prints_plain_lines() {
        let screen = Display { quiet: false, has_cursor: true };
        for kind in [ProgressKind::Auto, ProgressKind::Tty] {
            assert_eq!(progress_mode(kind, screen), ProgressMode::Bars);
            let file = Display { has_cursor: false, ..screen };
            assert_eq!(progress_mode(kind, file), ProgressMode::Lines);
            let quiet = Display { quiet: true, ..screen };
            assert_eq!(progress_mode(kind, quiet), ProgressMode::Nothing);
        }
        assert_eq!(progress_mode(ProgressKind::Plain, screen), ProgressMode::Lines);
        assert_eq!(progress_mode(ProgressKind::None, screen), ProgressMode::Nothing);
        assert!(has_cursor(Some("xterm".into())));
        assert!(![None, Some("".into()), Some("dumb".into())].into_iter().any(has_cursor));
    }
}
