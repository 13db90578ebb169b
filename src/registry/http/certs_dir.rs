//! Certificates per registry in `certs.d`, one directory for each host, as docker and podman use them.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::reference::docker_hub::{HUB, HUB_API_HOST};
use crate::registry::credentials::Environment;

/// The certificates of one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct HostCerts {
    /// Trusted in addition to the system's roots.
    pub(in crate::registry) ca: Vec<PathBuf>,
    /// The client's certificate and its key; the first pair by name.
    pub(in crate::registry) client: Option<(PathBuf, PathBuf)>,
}

impl HostCerts {
    /// Reads `<dir>/<host[:port]>/` of the first of `dirs` that has it, as podman does.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if a certificate has no key or a key no certificate: the server would get no client
    /// certificate.
    pub(in crate::registry) fn for_host(registry: &str, dirs: &[PathBuf]) -> Result<Option<Self>> {
        let names = match registry {
            HUB => [HUB, HUB_API_HOST].as_slice(),
            other => &[other],
        };
        // A single plain path component cannot escape the directory.
        if registry.is_empty() || registry.contains(['/', '\\', '\0']) || registry.starts_with('.')
        {
            return Err(Error::new(ErrorKind::InvalidInput, format!("registry `{registry}`"))
                .with_reason("invalid host"));
        }
        for dir in dirs.iter().flat_map(|dir| names.iter().map(move |name| dir.join(name))) {
            match list(&dir) {
                Ok(files) => return Self::of(&files),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(invalid_pem(&dir).with_source(error)),
            }
        }
        Ok(None)
    }

    /// Reads the certificates in one directory.
    ///
    /// # Errors
    /// As [`HostCerts::for_host`].
    pub(in crate::registry) fn in_dir(dir: &Path) -> Result<Option<Self>> {
        match list(dir) {
            Ok(files) => Self::of(&files),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(invalid_pem(dir).with_source(error)),
        }
    }

    fn of(files: &[PathBuf]) -> Result<Option<Self>> {
        let of_kind = |kind: &str| {
            let kind = kind.to_owned();
            files.iter().filter(move |path| path.extension().is_some_and(|ending| *ending == *kind))
        };
        for (half, other) in [("cert", "key"), ("key", "cert")] {
            let lone = of_kind(half).find(|path| !files.contains(&path.with_extension(other)));
            if let Some(path) = lone {
                let missing = path.with_extension(other);
                return Err(invalid_pem(path).with_reason(format!("missing {}", missing.display())));
            }
        }
        let ca: Vec<PathBuf> = of_kind("crt").cloned().collect();
        let client = of_kind("cert").next().map(|cert| (cert.clone(), cert.with_extension("key")));
        Ok((!ca.is_empty() || client.is_some()).then_some(Self { ca, client }))
    }
}

/// The `certs.d` directories, in order of precedence: the user's, the system's, docker's.
pub(in crate::registry) fn certs_dirs(environment: &Environment) -> Vec<PathBuf> {
    let user = environment.config_home().map(|dir| dir.join("containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    user.into_iter().chain(system).collect()
}

/// The paths in a directory, sorted.
fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = std::fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// A directory that the user may not read counts as absent: it was made for another user.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

fn invalid_pem(path: &Path) -> Error {
    Error::new(ErrorKind::Denied, "certificate or key").at(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_dir(root: &Path, name: &str, files: &[&str]) {
        std::fs::create_dir_all(root.join(name)).unwrap();
        for file in files {
            std::fs::write(root.join(name).join(file), "").unwrap();
        }
    }

    #[test]
    fn certs_d_first_dir_of_host_wins() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let dirs = [first.path().join("absent"), first.path().into(), second.path().into()];
        let of = |registry: &str| HostCerts::for_host(registry, &dirs).unwrap();
        write_dir(first.path(), "h:5000", &["b.crt", "a.crt", "c.cert", "c.key", "readme.txt"]);
        write_dir(second.path(), "h:5000", &["other.crt"]);
        write_dir(second.path(), "h", &["other.crt"]);
        let found = of("h:5000").unwrap();
        let here = first.path().join("h:5000");
        assert_eq!(found.ca, [here.join("a.crt"), here.join("b.crt")]);
        assert_eq!(found.client, Some((here.join("c.cert"), here.join("c.key"))));
        assert_eq!(of("h").unwrap().ca, [second.path().join("h/other.crt")]);
        assert_eq!(of("h:5001"), None);
        write_dir(first.path(), "empty", &[]);
        assert_eq!(of("empty"), None);
    }

    #[test]
    fn certs_d_docker_hub_alias_is_found() {
        let dir = tempfile::tempdir().unwrap();
        write_dir(dir.path(), "registry-1.docker.io", &["a.crt"]);
        let found = HostCerts::for_host("docker.io", &[dir.path().into()]).unwrap();
        assert_eq!(found.unwrap().ca, [dir.path().join("registry-1.docker.io/a.crt")]);
    }

    #[test]
    fn certs_d_cert_without_key_is_error() {
        for half in ["client.cert", "client.key"] {
            let dir = tempfile::tempdir().unwrap();
            write_dir(dir.path(), "h", &["ca.crt", half]);
            let error = HostCerts::for_host("h", &[dir.path().into()]).unwrap_err();
            assert!(error.kind() == ErrorKind::Denied && error.to_string().contains(half));
        }
    }

    #[test]
    fn certs_d_host_cannot_escape_dir() {
        let dir = tempfile::tempdir().unwrap();
        write_dir(dir.path(), "outside", &["a.crt"]);
        std::fs::create_dir(dir.path().join("certs.d")).unwrap();
        for name in ["../outside", "..", ".", "", "/etc", "a/../../outside", "a\0b"] {
            assert!(HostCerts::for_host(name, &[dir.path().join("certs.d")]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn certs_d_of_user_precedes_system() {
        let environment = Environment { home: Some("/home/u".into()), ..Environment::default() };
        assert_eq!(
            certs_dirs(&environment),
            [
                "/home/u/.config/containers/certs.d",
                "/etc/containers/certs.d",
                "/etc/docker/certs.d"
            ]
            .map(PathBuf::from)
        );
    }
}
