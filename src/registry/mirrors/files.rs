//! Finds the files that say which hosts are asked for the content of a registry.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::host::ContentHosts;
use super::hosts_toml::HostsFile;
use super::registries_conf::RegistriesConf;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;
use crate::registry::credentials::Environment;

/// Where containerd keeps the directories with `hosts.toml`.
const CONTAINERD_DIR: &str = "/etc/containerd/certs.d";

/// Where podman and skopeo keep `registries.conf`, below this and below the user's configuration directory.
const CONTAINERS_DIR: &str = "/etc/containers";

const ADVICE: &str = "correct the file, or ignore it with `--no-mirrors`";

/// The mirrors that other tools on this machine are configured for: containerd by `hosts.toml`, podman and skopeo by
/// `registries.conf`. By default none.
///
/// Files are read when a registry is first used. Clones share what was read, and give each notice once.
#[derive(Clone, Default)]
pub struct Mirrors(Option<Arc<MirrorFiles>>);

struct MirrorFiles {
    places: Places,
    hosts_files: Mutex<HashMap<String, Option<Arc<HostsFile>>>>,
    registries: Mutex<Option<Arc<RegistriesConf>>>,
    announced: Mutex<HashSet<String>>,
}

/// Where files are looked for.
#[derive(Default)]
struct Places {
    /// With a directory for each registry.
    hosts_dir: Option<PathBuf>,
    /// The first of these that exists is read; the user's comes first.
    registries_conf: Vec<PathBuf>,
    /// Directories with additional files: the system's, and the user's.
    drop_ins: Option<PathBuf>,
    user_drop_ins: Option<PathBuf>,
}

impl Mirrors {
    /// Those in a directory with one directory for each registry, as containerd uses it: `DIR/docker.io/hosts.toml`.
    pub fn in_hosts_dir(dir: impl Into<PathBuf>) -> Self {
        Self::new(Places { hosts_dir: Some(dir.into()), ..Places::default() })
    }

    /// Those that containerd, podman and skopeo use on this machine. `CONTAINERS_REGISTRIES_CONF` names the only file;
    /// else `hosts.toml` precedes `registries.conf`.
    pub fn from_env(environment: &Environment) -> Self {
        Self::new(Places::below("/".as_ref(), environment))
    }

    fn new(places: Places) -> Self {
        Self(Some(Arc::new(MirrorFiles {
            places,
            hosts_files: Mutex::default(),
            registries: Mutex::default(),
            announced: Mutex::default(),
        })))
    }

    /// The hosts of the repository of this reference.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a file is wrong, [`ErrorKind::Denied`] if it blocks the registry.
    pub(in crate::registry) fn hosts(&self, reference: &Reference) -> Result<ContentHosts> {
        let (registry, repository) = (reference.registry(), reference.repository());
        let found = match &self.0 {
            Some(files) => {
                files.find(registry, repository, reference.digest().is_some()).map_err(advise)?
            }
            None => None,
        };
        Ok(found.unwrap_or_else(|| ContentHosts::registry_only(registry, repository)))
    }

    /// Whether this was not announced before.
    pub(in crate::registry) fn should_report(&self, notice: &str) -> bool {
        self.0.as_ref().is_some_and(|files| {
            let mut announced = files.announced.lock().unwrap_or_else(PoisonError::into_inner);
            announced.insert(notice.to_owned())
        })
    }
}

impl MirrorFiles {
    fn find(
        &self,
        registry: &str,
        repository: &str,
        is_pinned: bool,
    ) -> Result<Option<ContentHosts>> {
        if let Some(file) = self.hosts_file(registry)? {
            return Ok(Some(file.hosts(registry, repository)));
        }
        self.registries()?.hosts(registry, repository, is_pinned)
    }

    fn hosts_file(&self, registry: &str) -> Result<Option<Arc<HostsFile>>> {
        let Some(dir) = &self.places.hosts_dir else { return Ok(None) };
        let mut files = self.hosts_files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(registry) {
            return Ok(file.clone());
        }
        let file = HostsFile::find(dir, registry)?.map(Arc::new);
        files.insert(registry.to_owned(), file.clone());
        Ok(file)
    }

    fn registries(&self) -> Result<Arc<RegistriesConf>> {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = &*registries {
            return Ok(Arc::clone(read));
        }
        let read = Arc::new(RegistriesConf::read(&self.places.registries_files())?);
        Ok(Arc::clone(registries.insert(read)))
    }
}

impl Places {
    /// The usual places below this directory, and those of the user.
    fn below(root: &Path, environment: &Environment) -> Self {
        if let Some(only) = &environment.registries_conf {
            return Self { registries_conf: vec![only.clone()], ..Self::default() };
        }
        let under_root = |path: &str| root.join(path.trim_start_matches('/'));
        let user = environment.config_home().map(|dir| dir.join("containers"));
        let system = under_root(CONTAINERS_DIR);
        let main = user.iter().chain([&system]).map(|dir| dir.join("registries.conf"));
        Self {
            hosts_dir: Some(under_root(CONTAINERD_DIR)),
            registries_conf: main.collect(),
            drop_ins: Some(system.join("registries.conf.d")),
            user_drop_ins: user.map(|dir| dir.join("registries.conf.d")),
        }
    }

    /// The files to read, in order.
    fn registries_files(&self) -> Vec<PathBuf> {
        if let [only] = self.registries_conf.as_slice() {
            return vec![only.clone()];
        }
        let main = self.registries_conf.iter().find(|path| path.exists());
        // A file of the user replaces all files of the system.
        let is_of_user = main.is_some() && main == self.registries_conf.first();
        let system = self.drop_ins.as_ref().filter(|_| !is_of_user);
        let dirs = system.into_iter().chain(&self.user_drop_ins);
        main.into_iter().cloned().chain(dirs.flat_map(|dir| drop_ins(dir))).collect()
    }
}

/// The configuration files in a directory, by name. A directory that cannot be read has none.
fn drop_ins(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "conf")).collect();
    files.sort();
    files
}

fn advise(error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::Denied => error.with_hint(ADVICE),
        _ => error,
    }
}

impl fmt::Debug for Mirrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.0.as_ref().map(|files| &files.places.hosts_dir);
        f.debug_tuple("Mirrors").field(&dir).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_registries_conf_replaces_system_one() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let home = root.path().join("home/u");
        let environment = Environment { home: Some(home), ..Environment::default() };
        let files = || Places::below(root.path(), &environment).registries_files();
        assert!(files().is_empty());
        let system = write("etc/containers/registries.conf");
        let second = write("etc/containers/registries.conf.d/b.conf");
        let first = write("etc/containers/registries.conf.d/a.conf");
        write("etc/containers/registries.conf.d/a.conf.bak");
        let own = write("home/u/.config/containers/registries.conf.d/c.conf");
        assert_eq!(files(), [system, first, second, own.clone()]);
        let user = write("home/u/.config/containers/registries.conf");
        assert_eq!(files(), [user, own]);

        let only = Some(PathBuf::from("/only.conf"));
        let explicit = Environment { registries_conf: only.clone(), ..environment.clone() };
        let places = Places::below(root.path(), &explicit);
        assert_eq!((places.registries_conf, places.hosts_dir), (only.into_iter().collect(), None));
    }
}
