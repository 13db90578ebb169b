//! Registries in regsync's file.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::go_template::{EntryValues, expand};
use super::notes::{AnyKey, Notes};
use super::options::Lookup;
use crate::error::Result;
use crate::mirror::file::RegistrySettings;
use crate::mirror::yaml::Yaml;
use crate::reference::registry_only;
use crate::secret::Secret;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawCreds {
    registry: Spanned<String>,
    #[serde(default)]
    user: Option<Spanned<String>>,
    #[serde(default)]
    pass: Option<Spanned<String>>,
    #[serde(default)]
    tls: Option<Spanned<String>>,
    #[serde(default)]
    scheme: Option<Spanned<String>>,
    #[serde(default)]
    req_per_sec: Option<f64>,
    #[serde(default)]
    req_concurrent: Option<u16>,
    /// Tokens are for one repository anyway.
    #[serde(default, rename = "repoAuth")]
    _repo_auth: Option<bool>,
    #[serde(default)]
    hostname: AnyKey,
    #[serde(default)]
    token: AnyKey,
    #[serde(default)]
    regcert: AnyKey,
    #[serde(default)]
    client_cert: AnyKey,
    #[serde(default)]
    client_key: AnyKey,
    #[serde(default)]
    path_prefix: AnyKey,
    #[serde(default)]
    mirrors: AnyKey,
    #[serde(default)]
    priority: AnyKey,
    #[serde(default)]
    cred_helper: AnyKey,
    #[serde(default)]
    cred_expire: AnyKey,
    #[serde(default)]
    cred_host: AnyKey,
    #[serde(default)]
    blob_chunk: AnyKey,
    #[serde(default)]
    blob_max: AnyKey,
    #[serde(default)]
    api: AnyKey,
    #[serde(default)]
    api_opts: AnyKey,
}

const LOOKED_UP: &str = "credentials are looked up as for all commands";
const WHOLE: &str = "blobs are uploaded whole";
const NAMED: &str = "name the files with `--ca-file`, `--cert-file`, `--key-file`";

impl RawCreds {
    /// The registry, and how to connect to it.
    pub(super) fn settings(
        &self,
        yaml: Yaml<'_>,
        outside: &Lookup<'_>,
        notes: &mut Notes<'_>,
    ) -> Result<(String, RegistrySettings)> {
        notes.refuse(&[
            ("hostname", &self.hostname, ""),
            ("token", &self.token, "log in with `rpull login`"),
            ("regcert", &self.regcert, NAMED),
            ("clientCert", &self.client_cert, NAMED),
            ("clientKey", &self.client_key, NAMED),
            ("pathPrefix", &self.path_prefix, ""),
        ])?;
        notes.no_effect(&[
            ("mirrors", &self.mirrors, "images are read from the registry itself"),
            ("priority", &self.priority, "images are read from the registry itself"),
            ("credHelper", &self.cred_helper, LOOKED_UP),
            ("credExpire", &self.cred_expire, LOOKED_UP),
            ("credHost", &self.cred_host, LOOKED_UP),
            ("blobChunk", &self.blob_chunk, WHOLE),
            ("blobMax", &self.blob_max, WHOLE),
            ("api", &self.api, "the API is the OCI's"),
            ("apiOpts", &self.api_opts, "the API is the OCI's"),
        ]);
        let text = |text: &Spanned<String>| {
            expand(&text.value, EntryValues::default(), outside)
                .map_err(|reason| yaml.invalid(text.referenced.line(), &reason))
        };
        let name = registry_only(&text(&self.registry)?)
            .map_err(|error| yaml.invalid(self.registry.referenced.line(), &error.chain()))?;
        let user = self.user.as_ref().map(text).transpose()?.filter(|user| !user.is_empty());
        let pass = self.pass.as_ref().map(text).transpose()?.filter(|pass| !pass.is_empty());
        let creds = user.zip(pass).map(|(user, pass)| Secret::new(format!("{user}:{pass}")));
        let (mut plain_http, mut insecure) = (false, false);
        if let Some(tls) = &self.tls {
            match tls.value.as_str() {
                "" | "enabled" => {}
                "insecure" => insecure = true,
                "disabled" => plain_http = true,
                other => {
                    let reason = format!("`{other}`: expected enabled, insecure or disabled");
                    return Err(yaml.invalid(tls.referenced.line(), &reason));
                }
            }
        }
        plain_http |= self.scheme.as_ref().is_some_and(|scheme| scheme.value == "http");
        let settings = RegistrySettings {
            connections: self.req_concurrent.filter(|count| *count > 0),
            requests_per_second: self.req_per_sec.filter(|rate| *rate > 0.0),
            plain_http,
            insecure,
            creds,
            ..RegistrySettings::default()
        };
        Ok((name, settings))
    }
}
