//! `login` and `logout`: the stored credential for a registry.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::{Login, Logout};
use crate::cli::output::{self, note};
use crate::cli::prompt;
use crate::cli::settings::Settings;
use crate::cli::signals::{cancelled_by_signals, or_cancelled};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::registry_and_namespace;
use crate::registry::credentials::{Credential, CredentialStore, from_user};
use crate::secret::Secret;

pub(in crate::cli) async fn log_in(args: Login, settings: &Settings) -> Result<ExitCode> {
    let (registry, namespace) = registry_and_namespace(&args.registry)?;
    let (namespace, name) = (namespace.as_deref(), full_name(&registry, namespace.as_deref()));
    let work = async {
        let store = settings.credential_store(&registry, namespace).await?;
        let credential = credential(&args, &registry, settings).await?;
        let outcome =
            settings.client_with(&registry, credential.clone())?.log_in(&registry).await?;
        if !outcome.challenged {
            tracing::warn!("{registry} allows anonymous access, so the password was not checked");
        }
        let credential = stored_credential(credential, outcome.identity_token);
        store.save(&credential).await?;
        if settings.json {
            output::json(&json!({
                "registry": registry, "namespace": namespace, "stored_in": store.to_string(),
            }))?;
        } else if !settings.quiet {
            note(&format!("logged in to {name}; {}", stored_message(&store, &credential)));
        }
        if let Some(source) = shadowing_source(&store, &registry, namespace, settings).await {
            tracing::warn!("{source} also has a credential for {name}, which takes precedence");
        }
        Ok(ExitCode::SUCCESS)
    };
    or_cancelled(&cancelled_by_signals(), "login", work).await?
}

pub(in crate::cli) async fn log_out(args: Logout, settings: &Settings) -> Result<ExitCode> {
    let (registry, namespace) = registry_and_namespace(&args.registry)?;
    let (namespace, name) = (namespace.as_deref(), full_name(&registry, namespace.as_deref()));
    let store = settings.credential_store(&registry, namespace).await?;
    let existed = store.erase().await?;
    if settings.json {
        output::json(&json!({
            "registry": registry, "namespace": namespace, "removed": existed,
            "stored_in": store.to_string(),
        }))?;
    } else if !settings.quiet {
        note(&if existed {
            format!("logged out of {name}; credential removed from {store}")
        } else {
            format!("not logged in to {name}; no credential in {store}")
        });
    }
    if let Some(source) = shadowing_source(&store, &registry, namespace, settings).await {
        tracing::warn!("{source} still has a credential for {name}");
    }
    Ok(ExitCode::SUCCESS)
}

fn full_name(registry: &str, namespace: Option<&str>) -> String {
    namespace.map_or(registry.to_owned(), |namespace| format!("{registry}/{namespace}"))
}

/// Returns the credential from the options, stdin or the terminal.
async fn credential(args: &Login, registry: &str, settings: &Settings) -> Result<Credential> {
    if args.password.is_some() {
        tracing::warn!("`--password` is visible to other users in the process list");
        output::warning_hint("use `--password-stdin`");
    }
    if args.username.is_none()
        && let Some(credential) = settings.creds()?
    {
        return Ok(credential);
    }
    let missing = |what: &str| {
        Error::new(ErrorKind::InvalidInput, "login")
            .with_reason(format!("missing {what}, and no terminal to ask for it"))
            .with_hint("pass `--username` and `--password-stdin`")
    };
    let user = match &args.username {
        Some(user) => user.trim().to_owned(),
        None if !prompt::is_possible() => return Err(missing("user name")),
        None => prompt::line(&format!("user name for {registry}: ")).await?.trim().to_owned(),
    };
    if let Some(password) = &args.password {
        return from_user(&user, password);
    }
    let password = if args.password_stdin {
        prompt::read_stdin_line().await?
    } else if prompt::is_possible() {
        prompt::secret("password: ").await?
    } else {
        return Err(missing("password"));
    };
    from_user(&user, &password)
}

/// Stores an identity token instead of the password, as docker does.
fn stored_credential(credential: Credential, identity: Option<Secret>) -> Credential {
    match (credential, identity) {
        (Credential::Basic { user, .. }, Some(token)) => {
            Credential::IdentityToken { token, basic: Some((user, Secret::new(""))) }
        }
        (credential, _) => credential,
    }
}

fn stored_message(store: &CredentialStore, credential: &Credential) -> String {
    let what = match credential {
        Credential::Basic { .. } => "the password",
        Credential::IdentityToken { .. } | Credential::RegistryToken(_) => "an identity token",
    };
    let how = if store.is_plaintext() { ", unencrypted" } else { "" };
    format!("{what} saved in {store}{how}")
}

/// Returns the source whose credential takes precedence over `store`, if there is one.
async fn shadowing_source(
    store: &CredentialStore,
    registry: &str,
    namespace: Option<&str>,
    settings: &Settings,
) -> Option<String> {
    let source = settings.credential_source(registry, namespace).await?;
    (source != store.file().display().to_string()).then_some(source)
}
