//! Mounted overlays.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::live::is_root;

/// A mounted overlay; dropping it unmounts it.
pub(crate) struct Mounted(PathBuf);

/// Returns whether this process can mount overlays; if not, prints that the test is skipped.
pub(crate) fn can_mount(test: &str) -> bool {
    if !is_root(test) {
        return false;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "mnt"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    let at = |name: &str| dir.path().join(name).display().to_string();
    let options = format!("lowerdir={}:{}", at("a"), at("b"));
    let output = Command::new("mount")
        .args(["-t", "overlay", "overlay", "-o", &options, &at("mnt")])
        .output();
    if output.is_ok_and(|output| output.status.success()) {
        drop(Mounted(dir.path().join("mnt")));
        return true;
    }
    writeln!(std::io::stderr(), "left out: {test}: overlays cannot be mounted here").unwrap();
    false
}

impl Mounted {
    /// Runs a mount command line with `point` in place of `/mnt`.
    pub(crate) fn by(line: &str, point: &Path) -> Self {
        let line = line.replace(" /mnt", &format!(" '{}'", point.display()));
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        Self(point.to_owned())
    }

    /// Takes over an existing mount.
    pub(crate) fn at(point: &Path) -> Self {
        Self(point.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A child just forked by another test holds this process's open files until it executes its program.
        let unmounted = (0..100).any(|_| {
            let status = Command::new("umount").arg(&self.0).status();
            let done = status.is_ok_and(|status| status.success());
            if !done {
                std::thread::sleep(Duration::from_millis(50));
            }
            done
        });
        if !std::thread::panicking() {
            assert!(unmounted, "{} stays mounted", self.0.display());
        }
    }
}
