//! Environment variables that locate auth files, certificates and mirrors.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::file::AuthFileSource;
use crate::secret::Secret;

/// The relevant part of a process's environment; unset and empty are the same.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Environment {
    /// `REGISTRY_AUTH_FILE`: the only auth file, as in podman.
    pub registry_auth_file: Option<PathBuf>,
    /// `DOCKER_AUTH_CONFIG`: the text of an auth file.
    pub docker_auth_config: Option<Secret>,
    /// `DOCKER_CONFIG`: the directory of docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `CONTAINERS_REGISTRIES_CONF`: the only file with mirrors, as in podman.
    pub registries_conf: Option<PathBuf>,
    /// `HOME`; a relative path counts as unset.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// The user's id, for `/run/containers/<uid>`.
    pub uid: Option<u32>,
    /// `PATH`, for credential helpers.
    pub path: Option<OsString>,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn from_process() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = |name: &str| set(name).map(PathBuf::from);
        // The XDG specification says to ignore a relative path.
        let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
        Self {
            registry_auth_file: path("REGISTRY_AUTH_FILE"),
            docker_auth_config: set("DOCKER_AUTH_CONFIG")
                .and_then(|value| value.into_string().ok())
                .map(Secret::new),
            docker_config: path("DOCKER_CONFIG"),
            registries_conf: path("CONTAINERS_REGISTRIES_CONF"),
            // Users who can write to the current directory must not choose the credentials.
            home: absolute("HOME"),
            xdg_runtime_dir: absolute("XDG_RUNTIME_DIR"),
            xdg_config_home: absolute("XDG_CONFIG_HOME"),
            uid: Some(rustix::process::getuid().as_raw()),
            path: set("PATH"),
        }
    }

    /// The user's configuration directory.
    pub(crate) fn config_home(&self) -> Option<PathBuf> {
        self.xdg_config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))
    }

    /// The path of docker's `config.json`.
    pub(super) fn docker_file(&self) -> Option<PathBuf> {
        let in_home = || self.home.as_ref().map(|home| home.join(".docker"));
        Some(self.docker_config.clone().or_else(in_home)?.join("config.json"))
    }

    /// Candidate auth files in order of precedence: docker's variable, podman's files, docker's file, its predecessor.
    pub(super) fn auth_files(&self) -> Vec<AuthFileSource> {
        let in_home = |name: &str| self.home.as_ref().map(|home| home.join(name));
        let runtime = match (&self.xdg_runtime_dir, self.uid) {
            (Some(dir), _) => Some(dir.join("containers")),
            (None, Some(uid)) => Some(Path::new("/run/containers").join(uid.to_string())),
            (None, None) => None,
        };
        [
            self.docker_auth_config.clone().map(AuthFileSource::Environment),
            runtime.map(|dir| AuthFileSource::Default(dir.join("auth.json"))),
            self.config_home().map(|dir| AuthFileSource::Default(dir.join("containers/auth.json"))),
            self.docker_file().map(AuthFileSource::Default),
            in_home(".dockercfg").map(AuthFileSource::Legacy),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(environment: &Environment) -> Vec<String> {
        environment.auth_files().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn auth_files_of_podman_precede_docker() {
        let mut environment = Environment {
            home: Some("/home/u".into()),
            uid: Some(1000),
            docker_auth_config: Some(Secret::new("canary")),
            ..Environment::default()
        };
        assert_eq!(
            places(&environment),
            [
                "DOCKER_AUTH_CONFIG",
                "/run/containers/1000/auth.json",
                "/home/u/.config/containers/auth.json",
                "/home/u/.docker/config.json",
                "/home/u/.dockercfg"
            ]
        );
        environment.docker_auth_config = None;
        environment.xdg_runtime_dir = Some("/run/user/1000".into());
        environment.xdg_config_home = Some("/etc/u".into());
        environment.docker_config = Some("/d".into());
        assert_eq!(
            places(&environment),
            [
                "/run/user/1000/containers/auth.json",
                "/etc/u/containers/auth.json",
                "/d/config.json",
                "/home/u/.dockercfg"
            ]
        );
        assert!(places(&Environment::default()).is_empty());
    }
}
