//! What was typed and what the environment says, turned into what the library takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{Common, ProgressKind};
use super::output;
use crate::error::{Error, ErrorKind, Matter, Result};
use crate::layout::Layout;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::credentials::{
    Credential, CredentialOptions, Credentials, Environment, Keeper, parse_creds,
};
use crate::registry::{Client, RegistryOptions, certs_dirs};
use crate::retry::RetryPolicy;
use crate::transfer::Choice;

/// How progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Bars,
    Lines,
    Nothing,
}

/// What all commands need.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) store: PathBuf,
    pub(super) offline: bool,
    pub(super) json: bool,
    /// Results only.
    pub(super) quiet: bool,
    pub(super) show: Show,
    pub(super) retry: RetryPolicy,
    registry: crate::cli::args::RegistryArgs,
}

impl Settings {
    pub(super) fn new(common: Common) -> Result<Self> {
        let show = match common.progress {
            _ if common.quiet => Show::Nothing,
            ProgressKind::None => Show::Nothing,
            ProgressKind::Tty => Show::Bars,
            ProgressKind::Auto if output::stderr_is_terminal() => Show::Bars,
            ProgressKind::Plain | ProgressKind::Auto => Show::Lines,
        };
        Ok(Self {
            store: store_path(common.store)?,
            offline: common.offline,
            json: common.json,
            quiet: common.quiet,
            show,
            retry: RetryPolicy {
                attempts: common.registry.retries.saturating_add(1),
                ..RetryPolicy::default()
            },
            registry: common.registry,
        })
    }

    /// The same for one side of a copy, where that has ways of its own.
    pub(super) fn for_side(
        &self,
        creds: Option<String>,
        authfile: Option<PathBuf>,
        plain_http: bool,
    ) -> Self {
        let mut side = self.clone();
        if creds.is_some() || authfile.is_some() {
            side.registry.creds = creds;
            side.registry.authfile = authfile;
        }
        side.registry.plain_http |= plain_http;
        side
    }

    /// The same with another store.
    pub(super) fn with_store(&self, store: PathBuf) -> Self {
        Self { store, ..self.clone() }
    }

    /// Whether both would show the same `--creds`.
    pub(super) fn has_creds_of(&self, other: &Self) -> bool {
        self.registry.creds.is_some() && self.registry.creds == other.registry.creds
    }

    /// # Errors
    /// [`ErrorKind::Reference`] where `--creds` would go to several registries: none may see the password of another.
    pub(super) fn check_creds<'a>(
        &self,
        images: impl IntoIterator<Item = &'a Reference>,
    ) -> Result<()> {
        let mut registries = images.into_iter().map(Reference::registry);
        if let (Some(_), Some(one)) = (&self.registry.creds, registries.next())
            && let Some(other) = registries.find(|other| *other != one)
        {
            let why = format!("is for one registry, and the images are of {one} and {other}");
            return Err(Error::new(ErrorKind::Reference, "--creds")
                .because(why)
                .about(Matter::SharedCredential));
        }
        Ok(())
    }

    fn may_ask(&self, what: &str) -> Result<()> {
        if !self.offline {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, what)
            .because("not in the store, and --offline asks no registry")
            .about(Matter::NotStored))
    }

    /// A client for registries.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with `--offline`: a registry would have to be asked for `what`.
    pub(super) fn client(&self, what: &str, foreign_layers: bool) -> Result<Client> {
        self.registry_options(what, foreign_layers).map(Client::new)
    }

    /// How to reach registries; errors as for [`Settings::client`].
    pub(super) fn registry_options(
        &self,
        what: &str,
        foreign_layers: bool,
    ) -> Result<RegistryOptions> {
        self.may_ask(what)?;
        let credentials = Credentials::new(self.credential_options()?)?;
        Ok(RegistryOptions { foreign_layers, ..self.options(credentials)? })
    }

    /// A client that shows this credential and no other, to log in with it.
    pub(super) fn client_as(&self, what: &str, credential: Credential) -> Result<Client> {
        self.may_ask(what)?;
        Ok(Client::new(self.options(Credentials::on_trial(credential))?))
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
                return Err(Error::new(ErrorKind::Reference, option)
                    .at(path.display().to_string())
                    .caused_by(error));
            }
        }
        Ok(RegistryOptions {
            plain_http: typed.plain_http,
            insecure: typed.insecure,
            ca_file: typed.ca_file.clone(),
            cert_file: typed.cert_file.clone(),
            key_file: typed.key_file.clone(),
            certs_dirs: certs_dirs(&Environment::from_process()),
            credentials,
            retry: self.retry,
            ..RegistryOptions::default()
        })
    }

    fn credential_options(&self) -> Result<CredentialOptions> {
        Ok(CredentialOptions {
            explicit: self.creds()?,
            authfile: self.registry.authfile.clone(),
            environment: Environment::from_process(),
        })
    }

    /// `--creds`.
    pub(super) fn creds(&self) -> Result<Option<Credential>> {
        self.registry.creds.as_deref().map(parse_creds).transpose()
    }

    /// Where the credential for a registry is kept.
    pub(super) async fn keeper(&self, registry: &str) -> Result<Keeper> {
        let authfile = self.registry.authfile.clone();
        Keeper::of(registry, authfile, &Environment::from_process()).await
    }

    /// The first place that has a word about a registry for the commands to come.
    pub(super) async fn credential_holder(&self, registry: &str) -> Option<String> {
        let options = CredentialOptions { explicit: None, ..self.credential_options().ok()? };
        Credentials::new(options).ok()?.holder(registry).await
    }

    /// The local store, to look at; `None` where nothing was ever pulled.
    pub(super) fn existing_store(&self) -> Result<Option<Arc<Layout>>> {
        existing_layout(&self.store)
    }

    /// The local store, which must hold `name`.
    pub(super) fn store_with(&self, name: &str) -> Result<Arc<Layout>> {
        self.existing_store()?.ok_or_else(|| not_in_store(name))
    }
}

/// The error for a name that the store lacks.
pub(super) fn not_in_store(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, name).because("not in the store").about(Matter::NotStored)
}

/// The layout at this path; `None` where there is none.
pub(super) fn existing_layout(path: &Path) -> Result<Option<Arc<Layout>>> {
    match Layout::open(path) {
        Ok(layout) => Ok(Some(Arc::new(layout))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The platform that was asked for, by `DOCKER_DEFAULT_PLATFORM` too, else the host's.
pub(super) fn platform(typed: Option<&str>) -> Result<Choice> {
    let of_environment =
        std::env::var("DOCKER_DEFAULT_PLATFORM").ok().filter(|text| !text.is_empty());
    match typed.or(of_environment.as_deref()) {
        Some(text) => text.parse().map(Choice::demanded),
        None => Ok(Choice::preferred(Platform::host())),
    }
}

fn store_path(typed: Option<PathBuf>) -> Result<PathBuf> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let chosen = typed.or_else(|| set("RPULL_STORE")).or_else(|| {
        // The XDG specification says to ignore a relative path.
        let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
        Some(data.or_else(|| Some(set("HOME")?.join(".local/share")))?.join("rpull"))
    });
    chosen.ok_or_else(|| {
        Error::new(ErrorKind::Store, "store")
            .because("neither --store, RPULL_STORE nor HOME is set")
    })
}
