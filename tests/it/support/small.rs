//! Small file systems.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::live::leave_out;

/// A mounted tmpfs; dropping it unmounts it.
pub(crate) struct Small(PathBuf);

impl Small {
    /// Mounts it; `None`, with a message, if mounting is not allowed.
    pub(crate) fn mount(test: &str, path: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(path).output().unwrap();
        if output.status.success() {
            return Some(Self(path.to_owned()));
        }
        let why = String::from_utf8_lossy(&output.stderr);
        leave_out(test, &format!("nothing can be mounted here: {}", why.trim()));
        None
    }
}

impl Small {
    /// Remounts it with other options.
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let grown = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(grown.success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status().unwrap();
        assert!(unmounted.success());
    }
}

/// Writes a file that leaves so many bytes of a file system free.
pub(crate) fn leave_free(dir: &Path, file: &Path, space: u64) {
    let free = rustix::fs::statvfs(dir).unwrap();
    let most = (free.f_bavail * free.f_frsize).saturating_sub(space);
    // Others may write meanwhile, so that less may be free now.
    match std::fs::write(file, vec![1; usize::try_from(most).unwrap()]) {
        Err(error) if error.kind() != io::ErrorKind::StorageFull => panic!("{error}"),
        _ => {}
    }
}
