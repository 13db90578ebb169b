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
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::config_values;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::docker_hub::{HUB, HUB_HOSTS};
use crate::reference::registry_only;
use crate::registry::credentials::Environment;
use crate::registry::{HostLimit, HostLimits};
use crate::toml_file::TomlFile;

const WHAT: &str = "configuration";

/// All keys, for suggestions.
const KEYS: [&str; 5] =
    ["registry", "connections", "requests-per-second", "rate-limit-floor", "rate-limit-wait"];

/// A key with more differences is not suggested.
const MAX_TYPING_ERRORS: usize = 3;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(default)]
    registry: BTreeMap<String, Spanned<RegistryTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table such as `[registry.\"ghcr.io\"]`"
)]
struct RegistryTable {
    #[serde(default, deserialize_with = "config_values::connections")]
    connections: Option<usize>,
    #[serde(default, deserialize_with = "config_values::rate")]
    requests_per_second: Option<f64>,
    #[serde(default, deserialize_with = "config_values::pulls")]
    rate_limit_floor: Option<u64>,
    #[serde(default, deserialize_with = "config_values::duration")]
    rate_limit_wait: Option<Duration>,
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
    let parsed: ConfigFile = file.parse().map_err(|error| explain(&file, error))?;
    let mut typed = BTreeMap::new();
    parsed.registry.into_iter().try_fold(HostLimits::default(), |limits, (host, table)| {
        let (span, table) = (table.span(), table.into_inner());
        let at_table = |error: Error| file.error_at(&span, &error.chain());
        let name = registry_only(&host).map_err(at_table)?.to_ascii_lowercase();
        let name = if HUB_HOSTS.contains(&name.as_str()) { HUB.to_owned() } else { name };
        if let Some(other) = typed.insert(name, host.clone()) {
            let reason = format!("`{host}` and `{other}` are the same registry");
            return Err(file.error_at(&span, &reason));
        }
        let limit = HostLimit {
            connections: table.connections,
            requests_per_second: table.requests_per_second,
            rate_limit_floor: table.rate_limit_floor,
            rate_limit_wait: table.rate_limit_wait,
        };
        limits.with(&host, limit).map_err(at_table)
    })
}

/// Adds what was probably meant to the error of a file that cannot be parsed.
fn explain(file: &TomlFile<'_>, error: Error) -> Error {
    if let Some((start, name)) = unquoted_registry(file.text) {
        let reason = "the name of a registry must be quoted";
        let hint = format!("write `[registry.\"{name}\"]`");
        return file.error_at(&(start..start), reason).with_hint(hint);
    }
    let reason = error.reason();
    if let Some(found) = reason.strip_suffix("expected a map") {
        let reason = format!("{found}expected a table such as `[registry.\"ghcr.io\"]`");
        return error.with_reason(reason);
    }
    let unknown = reason.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`'));
    match unknown.and_then(|(key, _)| closest_key(key)) {
        Some(key) => error.with_hint(format!("did you mean `{key}`?")),
        None => error,
    }
}

/// Returns the first table whose registry has dots or colons and no quotes, and where it begins.
fn unquoted_registry(text: &str) -> Option<(usize, &str)> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let name = line.trim().strip_prefix("[registry.").and_then(|rest| rest.split(']').next());
        match name.map(str::trim) {
            Some(name) if name.contains(['.', ':']) && !name.contains(['"', '\'']) => {
                return Some((start, name));
            }
            _ => start += line.len(),
        }
    }
    None
}

/// Returns the key that this one was probably meant to be.
fn closest_key(unknown: &str) -> Option<&'static str> {
    let unknown = unknown.to_ascii_lowercase().replace('_', "-");
    let near = KEYS.iter().map(|key| (distance(&unknown, key), *key)).min()?;
    (near.0 <= MAX_TYPING_ERRORS).then_some(near.1)
}

/// The number of characters to insert, delete or replace.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (deleted, left) in from.chars().enumerate() {
        let mut next = vec![deleted + 1];
        let mut costs = row.iter().zip(row.iter().skip(1));
        for right in to.chars() {
            let Some((replace, delete)) = costs.next() else { break };
            let insert = next.last().map_or(0, |cost| cost + 1);
            next.push(insert.min(delete + 1).min(replace + usize::from(left != right)));
        }
        row = next;
    }
    row.pop().unwrap_or_default()
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
                "configuration: /c.toml:2: `connections`: invalid type: string \"4\", expected a whole number from 1 to 65535",
            ),
            (
                "[registry.\"a.b\"]\nconnections = 0",
                "configuration: /c.toml:2: `connections`: invalid value: integer `0`, expected a whole number from 1 to 65535",
            ),
            (
                "[registry.\"a.b\"]\nrequests-per-second = -1",
                "configuration: /c.toml:2: `requests-per-second`: invalid value: floating point `-1.0`, expected a number from 0.00001 to 1000000",
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
    fn config_file_wrong_types_and_double_names_are_explained() {
        for (text, expected) in [
            (
                "[registry.\"a.b\"]\nrequests-per-second = 99999999999999999999",
                "configuration: /c.toml:2: `requests-per-second`: invalid value: larger number, expected a number from",
            ),
            (
                "[registry.\"a.b\"]\nrate-limit-floor = -1",
                "configuration: /c.toml:2: `rate-limit-floor`: invalid value: integer `-1`, expected a whole number",
            ),
            (
                "[registry.\"a.b\"]\nrate-limit-floor = 1\nrate-limit-wait = 60",
                "configuration: /c.toml:3: `rate-limit-wait`: invalid type: integer `60`, expected a duration in quotes",
            ),
            (
                "registry = 3",
                "configuration: /c.toml:1: `registry`: invalid type: integer `3`, expected a table",
            ),
            (
                "registry.\"a.b\" = 3",
                "configuration: /c.toml:1: `registry.\"a.b\"`: invalid type: integer `3`, expected a table such as `[registry.\"ghcr.io\"]`",
            ),
            (
                "[registry.\"docker.io\"]\n[registry.\"index.docker.io\"]",
                "configuration: /c.toml:2: `index.docker.io` and `docker.io` are the same registry",
            ),
            (
                "[registry.\"A.b\"]\n[registry.\"a.b\"]",
                "configuration: /c.toml:2: `a.b` and `A.b` are the same registry",
            ),
        ] {
            let error = error(text);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn config_file_errors_hint_at_quotes_and_similar_keys() {
        for (text, line, expected) in [
            ("#\n[registry.docker.io]\nconnections = 1", 2, "write `[registry.\"docker.io\"]`"),
            ("[registry.127.0.0.1:5000]", 1, "write `[registry.\"127.0.0.1:5000\"]`"),
            ("[registry.\"a.b\"]\nconnection = 1", 2, "did you mean `connections`?"),
            ("[registry.\"a.b\"]\nconections = 1", 2, "did you mean `connections`?"),
            (
                "[registry.\"a.b\"]\nrequests_per_second = 1",
                2,
                "did you mean `requests-per-second`?",
            ),
            ("[registries.\"a.b\"]", 1, "did you mean `registry`?"),
        ] {
            let error = parse(text, Path::new("/c.toml")).unwrap_err();
            assert_eq!(error.hint(), Some(expected), "{}", error.chain());
            assert!(error.chain().starts_with(&format!("configuration: /c.toml:{line}: ")));
        }
        assert_eq!(parse("[other]", Path::new("/c.toml")).unwrap_err().hint(), None);
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
