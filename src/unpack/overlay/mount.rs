//! Mounts the layers of an image read-only.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount,
};
use rustix::process::fchdir;

use super::directory::OverlayDirectory;
use super::layer_dir::short_name;
use super::xattr::OverlayXattr;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// Maximum bytes of mount options: a page, including the terminating zero.
const PAGE_BYTES: usize = 4096;

/// Maximum layers of one overlayfs mount.
const MAX_LAYERS: usize = 500;

impl OverlayDirectory {
    /// Returns the command that mounts these layers, base first, at `/mnt`; `None` for an image without layers.
    pub fn mount_line(&self, chains: &[Digest]) -> Option<String> {
        let layers = self.path().join("overlay2");
        let layers = std::path::absolute(&layers).unwrap_or(layers);
        if let Some(plain) = layers.to_str().filter(|path| path.bytes().all(is_plain)) {
            let absolute = self.options(&lower_dirs(chains, &format!("{plain}/"))?);
            if absolute.len() < PAGE_BYTES {
                return Some(format!("mount -t overlay overlay -o ro,{absolute} /mnt"));
            }
        }
        let quoted = quoted(&layers);
        let relative = lower_dirs(chains, "")?;
        let mut options = self.options(&relative);
        if options.len() >= PAGE_BYTES {
            // Newer versions of mount(8) pass each layer to the kernel separately.
            options = format!(
                "{}lowerdir+={}",
                self.xattr_namespace().option(),
                relative.join(",lowerdir+=")
            );
        }
        Some(format!("(cd {quoted} && mount -t overlay overlay -o ro,{options} /mnt)"))
    }

    /// Mounts these layers, base first. Changes the process's working directory: relative names are shorter, so more
    /// layers fit into the mount options.
    ///
    /// # Errors
    /// [`ErrorKind::Unpack`] with the mount point.
    pub fn mount(&self, chains: &[Digest], mount_point: &Path) -> Result<()> {
        self.mount_at(chains, mount_point).map_err(|error| {
            Error::new(ErrorKind::Unpack, "mount")
                .at(mount_point.display().to_string())
                .with_source(error)
        })
    }

    fn mount_at(&self, chains: &[Digest], mount_point: &Path) -> io::Result<()> {
        let mount_point = std::fs::canonicalize(mount_point)?;
        let layers =
            lower_dirs(chains, "").ok_or_else(|| io::Error::other("the image has no layers"))?;
        fchdir(self.root().readable(b"overlay2")?)?;
        let options = self.options(&layers);
        if options.len() >= PAGE_BYTES {
            return self.mount_one_by_one(&layers, &mount_point);
        }
        let options = std::ffi::CString::new(options)?;
        mount("overlay", &mount_point, "overlay", MountFlags::RDONLY, options.as_c_str())?;
        Ok(())
    }

    /// Mounts more layers than fit into the options. Requires Linux 6.5.
    fn mount_one_by_one(&self, layers: &[String], mount_point: &Path) -> io::Result<()> {
        let too_many = |reason| {
            Err(io::Error::other(format!("the image has {} layers, {reason}", layers.len())))
        };
        if layers.len() > MAX_LAYERS {
            return too_many("more than the 500 of one mount");
        }
        let too_old = "more than one mount supports before Linux 6.5";
        let overlay = match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
            Err(Errno::NOSYS) => return too_many(too_old),
            other => other?,
        };
        for layer in layers {
            match fsconfig_set_string(&overlay, "lowerdir+", layer) {
                Err(Errno::INVAL) => return too_many(too_old),
                other => other?,
            }
        }
        fsconfig_set_string(&overlay, "source", "overlay")?;
        if self.xattr_namespace() == OverlayXattr::User {
            fsconfig_set_flag(&overlay, "userxattr")?;
        }
        fsconfig_create(&overlay)?;
        let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
        let mounted = fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, read_only)?;
        Ok(move_mount(&mounted, "", CWD, mount_point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }

    /// Returns the options of a mount of these layers, which come top first.
    fn options(&self, layers: &[String]) -> String {
        format!("{}lowerdir={}", self.xattr_namespace().option(), layers.join(":"))
    }

    /// Whether a mount that is visible to this process uses the layer.
    pub(super) fn is_mounted(mounts: &str, chain: &Digest) -> bool {
        mounts.contains(&short_name(chain)) || mounts.contains(chain.encoded())
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte)
}

/// Returns a shell word for the path.
fn quoted(path: &Path) -> String {
    if let Some(text) = path.to_str() {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let letter = |&byte: &u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("\\{byte:03o}") }
    };
    let format: String = path.as_os_str().as_bytes().iter().map(letter).collect();
    format!("\"$(printf '{format}')\"")
}

/// Returns the layers by short name, relative to `base`, the top one first; `None` without layers.
fn lower_dirs(chains: &[Digest], base: &str) -> Option<Vec<String>> {
    let mut layers: Vec<_> =
        chains.iter().rev().map(|chain| format!("{base}l/{}", short_name(chain))).collect();
    // A read-only overlayfs mount needs at least two layers.
    if layers.len() == 1 {
        layers.push(format!("{base}empty"));
    }
    (!layers.is_empty()).then_some(layers)
}
