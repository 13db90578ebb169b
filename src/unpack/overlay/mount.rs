//! Mounting the layers of an image, one over the other, to be read.

use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, mount};
use rustix::process::fchdir;

use super::directory::OverlayDirectory;
use super::form::Form;
use super::layer_place::short_name;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of the options of one mount: the kernel takes a page, with the zero at its end.
const PAGE: usize = 4096;

impl OverlayDirectory {
    /// The line that mounts these layers, base first, at `/mnt`; `None` of an image without layers.
    pub fn mount_line(&self, chains: &[Digest]) -> Option<String> {
        let layers = self.path().join("overlay2");
        let layers = std::path::absolute(&layers).unwrap_or(layers);
        let layers = layers.to_string_lossy();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte);
        let absolute = self.options(chains, &format!("{layers}/"))?;
        if layers.bytes().all(is_plain) && absolute.len() < PAGE {
            return Some(format!("mount -t overlay overlay -o ro,{absolute} /mnt"));
        }
        let quoted = format!("'{}'", layers.replace('\'', r"'\''"));
        let options = self.options(chains, "")?;
        Some(format!("(cd {quoted} && mount -t overlay overlay -o ro,{options} /mnt)"))
    }

    /// Mounts these layers, base first; changes the process's working directory, because by names from there more
    /// layers fit into a mount's options.
    ///
    /// # Errors
    /// [`ErrorKind::Unpack`] with the mount point.
    pub fn mount(&self, chains: &[Digest], point: &Path) -> Result<()> {
        self.mount_at(chains, point).map_err(|error| {
            Error::new(ErrorKind::Unpack, "mount").at(point.display().to_string()).caused_by(error)
        })
    }

    fn mount_at(&self, chains: &[Digest], point: &Path) -> io::Result<()> {
        let point = std::fs::canonicalize(point)?;
        let options =
            self.options(chains, "").ok_or_else(|| io::Error::other("the image has no layers"))?;
        if options.len() >= PAGE {
            return Err(io::Error::other("the image has more layers than one mount takes"));
        }
        fchdir(self.root().readable(b"overlay2")?)?;
        let options = std::ffi::CString::new(options)?;
        mount("overlay", &point, "overlay", MountFlags::RDONLY, options.as_c_str())?;
        Ok(())
    }

    /// What tells the kernel which layers, the top one first.
    fn options(&self, chains: &[Digest], base: &str) -> Option<String> {
        if chains.is_empty() {
            return None;
        }
        let mut layers: Vec<_> =
            chains.iter().rev().map(|chain| format!("{base}l/{}", short_name(chain))).collect();
        // The kernel wants two where nothing can be written.
        if layers.len() == 1 {
            layers.push(format!("{base}empty"));
        }
        let form = match self.form() {
            Form::Trusted => "",
            Form::User => "userxattr,",
        };
        Some(format!("{form}lowerdir={}", layers.join(":")))
    }

    /// Whether a layer is in some mount that this process can see.
    pub(super) fn is_mounted(mounts: &str, chain: &Digest) -> bool {
        mounts.contains(&short_name(chain)) || mounts.contains(chain.encoded())
    }
}
