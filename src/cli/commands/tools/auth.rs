//! `auth`: shows which credential is used for a registry, and where it comes from.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::args::tools::Auth;
use crate::cli::output::{self, note};
use crate::cli::run::report::json_of;
use crate::cli::settings::Settings;
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::cli::{exit, signals};
use crate::error::{Error, Result};
use crate::reference::registry_and_namespace;
use crate::registry::credentials::{
    Credential, CredentialOrigin, Credentials, FoundCredential, OriginKind,
};

/// A registry, and a namespace or repository in it.
type Asked = (String, Option<String>);

pub(super) async fn run(args: Auth, settings: &Settings) -> Result<ExitCode> {
    let credentials = settings.credentials()?;
    let cancel = signals::cancelled_by_signals();
    let looking = look_up(&args, &credentials);
    let rows = signals::or_cancelled(&cancel, "auth", looking).await??;
    for row in &rows {
        if let Err(error) = &row.found {
            exit::report_for(&row.name(), error);
        }
    }
    if settings.json {
        output::json(&rows.iter().map(AuthRow::json).collect::<Result<Vec<_>>>()?)?;
    } else if settings.quiet {
        let known = rows.iter().filter(|row| matches!(row.found, Ok(Some(_))));
        known.into_iter().try_for_each(|row| output::line(&row.name()))?;
    } else if rows.is_empty() {
        note("the auth files have no credentials; `rpull login HOST` saves one");
    } else if rows.iter().any(|row| row.found.is_ok()) {
        let columns = [
            Column::cut_start("REGISTRY", 12),
            Column::cut("USER", 8).optional(1),
            Column::whole("CREDENTIAL"),
            Column::cut_start("SOURCE", 12),
        ];
        let cells: Vec<[String; 4]> = rows.iter().filter_map(AuthRow::cells).collect();
        output::text(&table(columns, &cells, terminal_width()))?;
    }
    Ok(exit::code_of_all(rows.iter().filter_map(|row| row.found.as_ref().err())))
}

async fn look_up(args: &Auth, credentials: &Credentials) -> Result<Vec<AuthRow>> {
    let typed = args.registries.iter().map(|text| registry_and_namespace(text));
    let mut asked: Vec<Asked> = typed.collect::<Result<_>>()?;
    if asked.is_empty() {
        asked = in_files(credentials).await?;
    }
    let mut rows = Vec::with_capacity(asked.len());
    for (registry, namespace) in asked {
        let found =
            credentials.find_with_origin(&registry, namespace.as_deref().unwrap_or_default()).await;
        rows.push(AuthRow { registry, namespace, found });
    }
    Ok(rows)
}

/// The registries and namespaces that the auth files name.
async fn in_files(credentials: &Credentials) -> Result<Vec<Asked>> {
    let mut named = BTreeSet::new();
    for key in credentials.keys().await? {
        match registry_and_namespace(&key) {
            Ok(asked) => _ = named.insert(asked),
            Err(error) => tracing::warn!("ignoring an entry of an auth file: {}", error.chain()),
        }
    }
    Ok(named.into_iter().collect())
}

struct AuthRow {
    registry: String,
    namespace: Option<String>,
    found: Result<Option<FoundCredential>, Error>,
}

impl AuthRow {
    fn name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/{namespace}", self.registry),
            None => self.registry.clone(),
        }
    }

    fn json(&self) -> Result<Value> {
        let credential = self.found.as_ref().ok().and_then(Option::as_ref);
        let value = json!({
            "registry": self.registry,
            "namespace": self.namespace,
            "credential": credential.map(|found| kind(&found.credential).0),
            "user": credential.and_then(|found| user(&found.credential)),
            "source": credential.map(|found| source(&found.origin)),
        });
        json_of(&value, self.found.as_ref().err())
    }

    /// `None` for a lookup that failed.
    fn cells(&self) -> Option<[String; 4]> {
        let none = || "-".to_owned();
        Some(match self.found.as_ref().ok()? {
            None => [self.name(), none(), "anonymous".to_owned(), none()],
            Some(FoundCredential { credential, origin, .. }) => [
                self.name(),
                user(credential).map_or_else(none, str::to_owned),
                kind(credential).1.to_owned(),
                source_text(origin),
            ],
        })
    }
}

/// What the credential is, for JSON and for people.
fn kind(credential: &Credential) -> (&'static str, &'static str) {
    match credential {
        Credential::Basic { .. } => ("password", "password"),
        Credential::IdentityToken { .. } => ("identity_token", "identity token"),
        Credential::RegistryToken(_) => ("registry_token", "registry token"),
    }
}

fn user(credential: &Credential) -> Option<&str> {
    match credential {
        Credential::Basic { user, .. }
        | Credential::IdentityToken { basic: Some((user, _)), .. } => Some(user),
        Credential::IdentityToken { basic: None, .. } | Credential::RegistryToken(_) => None,
    }
}

/// The option that gives a credential for every registry.
const CREDS: &str = "--creds";

fn source(origin: &CredentialOrigin) -> Value {
    let (kind, name) = match origin.kind {
        OriginKind::Given => ("option", CREDS),
        OriginKind::File => ("file", origin.name.as_str()),
        OriginKind::Environment => ("environment", origin.name.as_str()),
        OriginKind::Helper => ("helper", origin.name.as_str()),
    };
    let key = Some(&origin.key).filter(|key| !key.is_empty());
    json!({ "kind": kind, "name": name, "key": key, "configured_in": origin.configured_in })
}

fn source_text(origin: &CredentialOrigin) -> String {
    match (&origin.kind, &origin.configured_in) {
        (OriginKind::Given, _) => CREDS.to_owned(),
        (_, Some(file)) => format!("{} ({file})", origin.name),
        (_, None) => origin.name.clone(),
    }
}
