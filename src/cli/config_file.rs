//! The configuration file: limits of the requests to registries.
//!
//! ```toml
//! [registry."ghcr.io"]
//! connections = 4
//! requests-per-second = 10
//! [registry."docker.io"]
//! rate-limit-floor = 20
//! rate-limit-wait = "1h"
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::duration::parse_duration;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::credentials::Environment;
use crate::registry::{HostLimit, HostLimits};
use crate::toml_file::TomlFile;

const WHAT: &str = "configuration";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(default)]
    registry: BTreeMap<String, Spanned<RegistryTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RegistryTable {
    connections: Option<u16>,
    requests_per_second: Option<f64>,
    rate_limit_floor: Option<u64>,
    rate_limit_wait: Option<Spanned<String>>,
}

/// Reads the limits of hosts from this file, or from that of the user if it exists.
pub(super) fn host_limits(given: Option<&Path>) -> Result<HostLimits> {
    let own = path_of_user(&Environment::from_process());
    let Some(path) = given.map(Path::to_owned).or(own) else { return Ok(HostLimits::default()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path),
        Err(error) if given.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Ok(HostLimits::default())
        }
        Err(error) => Err(Error::new(ErrorKind::InvalidInput, WHAT)
            .at(path.display().to_string())
            .with_source(error)),
    }
}

fn path_of_user(environment: &Environment) -> Option<PathBuf> {
    Some(environment.config_home()?.join("rpull/config.toml"))
}

fn parse(text: &str, path: &Path) -> Result<HostLimits> {
    let file = TomlFile { what: WHAT, path, text };
    let parsed: ConfigFile = file.parse()?;
    parsed.registry.into_iter().try_fold(HostLimits::default(), |limits, (host, table)| {
        let (span, table) = (table.span(), table.into_inner());
        let wait = table.rate_limit_wait.map(|wait| {
            let parsed = parse_duration(wait.get_ref());
            parsed.map_err(|reason| {
                file.error_at(&wait.span(), &format!("`rate-limit-wait`: {reason}"))
            })
        });
        let limit = HostLimit {
            connections: table.connections.map(usize::from),
            requests_per_second: table.requests_per_second,
            rate_limit_floor: table.rate_limit_floor,
            rate_limit_wait: wait.transpose()?,
        };
        limits.with(&host, limit).map_err(|error| file.error_at(&span, &error.chain()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, Path::new("/c.toml")).unwrap_err().chain()
    }

    #[test]
    fn config_file_accepts_limits_of_registries() {
        let text = "[registry.\"ghcr.io\"]\nconnections = 4\nrequests-per-second = 10\n\
                    [registry.\"docker.io\"]\nrequests-per-second = 0.5\n[registry.\"localhost:5000\"]\n";
        let limits = format!("{:?}", parse(text, Path::new("/c.toml")).unwrap());
        for part in ["\"ghcr.io\": HostLimit { connections: Some(4)", "\"registry-1.docker.io\""] {
            assert!(limits.contains(part), "{limits}");
        }
        parse("", Path::new("/c.toml")).unwrap();
    }

    #[test]
    fn config_file_errors_name_file_line_and_key() {
        for (text, expected) in [
            (
                "\n[registry.\"a.b\"]\nconections = 4",
                "configuration: /c.toml:3: unknown field `conections`, expected one of `connections`, `requests-per-second`, `rate-limit-floor`, `rate-limit-wait`",
            ),
            (
                "[registri]",
                "configuration: /c.toml:1: unknown field `registri`, expected `registry`",
            ),
            (
                "[registry.\"a.b\"]\nconnections = \"4\"",
                "configuration: /c.toml:2: `connections`: invalid type: string \"4\", expected u16",
            ),
            (
                "[registry.\"a.b\"]\nconnections = 0",
                "configuration: /c.toml:1: limits of `a.b`: `connections` must be at least 1",
            ),
            (
                "[registry.\"a.b\"]\nrequests-per-second = -1",
                "configuration: /c.toml:1: limits of `a.b`: `requests-per-second` must be",
            ),
            (
                "\n\n[registry.\"a/b\"]",
                "configuration: /c.toml:3: registry `a/b`: expected a registry only",
            ),
            (
                "[registry.\"a.b\"]\nrate-limit-floor = 5\nrate-limit-wait = \"soon\"",
                "configuration: /c.toml:3: `rate-limit-wait`: expected a duration such as",
            ),
            (
                "[registry.\"a.b\"]\nrate-limit-wait = \"1h\"",
                "configuration: /c.toml:1: limits of `a.b`: `rate-limit-wait` requires",
            ),
            ("[registry", "configuration: /c.toml:1: "),
        ] {
            let error = error(text);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn config_file_is_in_config_directory_of_user() {
        let path = |home: Option<&str>, config: Option<&str>| {
            let (home, xdg_config_home) = (home.map(PathBuf::from), config.map(PathBuf::from));
            path_of_user(&Environment { home, xdg_config_home, ..Environment::default() })
        };
        let expected = |path: &str| Some(PathBuf::from(path));
        assert_eq!(path(Some("/h"), None), expected("/h/.config/rpull/config.toml"));
        assert_eq!(path(Some("/h"), Some("/x")), expected("/x/rpull/config.toml"));
        assert_eq!(path(None, None), None);
    }
}
