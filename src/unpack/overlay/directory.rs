//! Creates, opens and locks an overlay directory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::fs::{Mode as Permissions, mkdir};
use rustix::io::Errno;

use super::files::{self, create_dir};
use super::xattr::OverlayXattr;
use crate::control::Control;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{self, LockMode, LockWait};
use crate::unpack::root::RootDir;

/// All names in an overlay directory. Other names in a directory without layers belong to another program.
const ALLOWED_NAMES: [&[u8]; 5] =
    [b"overlay2", b"layerdb", b"images.json", b"images.json.new", b"lost+found"];

/// Marker file in the directory of layers: they use `user.overlay.*` attributes.
const USER_XATTR_FILE_NAME: &[u8] = b"userxattr";

/// Timeout for another process that unpacks. A killed process releases its lock, a stopped one keeps it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3600);

/// An overlay directory: one directory per layer.
#[derive(Debug)]
pub struct OverlayDirectory {
    path: PathBuf,
    root: RootDir,
    namespace: OverlayXattr,
}

/// Excludes changes by other processes until it is dropped.
#[derive(Debug)]
pub struct OverlayLock(#[expect(dead_code, reason = "the open file holds the lock")] File);

impl OverlayDirectory {
    /// Opens an overlay directory, and creates it if the path is missing or an empty directory.
    ///
    /// # Errors
    /// [`ErrorKind::Unpack`] with the path, also if the path is something else.
    pub fn create(path: &Path) -> Result<Self> {
        let path: PathBuf = path.components().collect();
        let created = mkdir(&path, Permissions::from_raw_mode(0o755));
        if let Err(error) = created
            && error != Errno::EXIST
        {
            return Err(failed(&path, error.into()));
        }
        let root = RootDir::open(&path)?;
        check(&root).and_then(|()| create_parts(&root)).map_err(|error| failed(&path, error))?;
        Ok(Self::from_root(path, root))
    }

    /// Checks that [`OverlayDirectory::create`] would accept the path. Creates nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Unpack`] with the path.
    pub fn check(path: &Path) -> Result<()> {
        let path: PathBuf = path.components().collect();
        if path.symlink_metadata().is_ok() {
            return check(&RootDir::open(&path)?).map_err(|error| failed(&path, error));
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match parent.unwrap_or(Path::new(".")).metadata() {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(failed(&path, io::ErrorKind::NotADirectory.into())),
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Opens an existing overlay directory; `None` if the path is missing or something else.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        if !path.join("overlay2/l").is_dir() || !path.join("layerdb").is_dir() {
            return Ok(None);
        }
        Ok(Some(Self::from_root(path.to_owned(), RootDir::open(path)?)))
    }

    fn from_root(path: PathBuf, root: RootDir) -> Self {
        let is_user = files::exists(root.as_fd(), &[b"overlay2/", USER_XATTR_FILE_NAME].concat());
        Self {
            path,
            root,
            namespace: if is_user { OverlayXattr::User } else { OverlayXattr::Trusted },
        }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the namespace of its layers' extended attributes.
    pub fn xattr_namespace(&self) -> OverlayXattr {
        self.namespace
    }

    /// Whether the layer with this chain id exists and need not be unpacked.
    pub fn has(&self, chain: &Digest) -> Result<bool> {
        Ok(self.trusted_size(chain).map_err(|error| self.failed(error))?.is_some())
    }

    pub(super) fn root(&self) -> &RootDir {
        &self.root
    }

    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Locks the directory; waits for other processes.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] if cancelled while waiting.
    pub fn lock(&self, control: &Control) -> Result<OverlayLock> {
        let file = self.root.readable(b"").map_err(|error| self.failed(error.into()))?;
        let file = File::from(file);
        let what = "the directory of layers";
        let wait = LockWait { what, path: &self.path, timeout: LOCK_TIMEOUT, control };
        lock::lock(&file, LockMode::Exclusive, &wait)?;
        Ok(OverlayLock(file))
    }

    pub(super) fn failed(&self, error: io::Error) -> Error {
        failed(&self.path, error)
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::new(ErrorKind::Unpack, "overlay").with_source(error),
    };
    error.at(path.display().to_string())
}

/// Checks that the directory is an overlay directory or can become one.
fn check(root: &RootDir) -> io::Result<()> {
    let names = files::list(root.as_fd(), b"")?;
    if names.iter().all(|name| ALLOWED_NAMES.contains(&&name[..])) {
        return Ok(());
    }
    let has_layers =
        files::exists(root.as_fd(), b"overlay2/l") && names.contains(&b"layerdb".to_vec());
    if has_layers { Ok(()) } else { Err(io::ErrorKind::DirectoryNotEmpty.into()) }
}

/// Creates missing parts. Only the owner can access the files of layers, because set-user-ID programs are among them.
fn create_parts(root: &RootDir) -> io::Result<()> {
    let handle = root.as_fd();
    create_dir(handle, b"overlay2", 0o710)?;
    let layers = root.readable(b"overlay2")?;
    // A default ACL would change the mode of every file.
    _ = rustix::fs::fremovexattr(&layers, "system.posix_acl_default").is_ok();
    if !files::exists(layers.as_fd(), b"l")
        && OverlayXattr::for_process(&layers) == OverlayXattr::User
    {
        match files::write(layers.as_fd(), USER_XATTR_FILE_NAME, b"") {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    create_dir(layers.as_fd(), b"empty", 0o755)?;
    create_dir(handle, b"layerdb", 0o755)?;
    create_dir(handle, b"layerdb/sha256", 0o755)?;
    create_dir(layers.as_fd(), b"l", 0o710)
}
