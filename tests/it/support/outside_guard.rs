//! A root to unpack into, and files around it that must not change.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::tree::{self, Node};

/// Text that must never appear in the root.
pub(crate) const SECRET: &str = "canary of the host";

pub(crate) struct OutsideGuard {
    dir: TempDir,
    root: PathBuf,
    before: Vec<Node>,
}

impl OutsideGuard {
    /// Creates an empty root next to `victim/`, with files and links, and `file`.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (victim, root) = (dir.path().join("victim"), dir.path().join("root"));
        std::fs::create_dir_all(victim.join("below")).unwrap();
        for file in ["victim/hello", "victim/below/deep", "file"] {
            std::fs::write(dir.path().join(file), SECRET).unwrap();
        }
        std::os::unix::fs::symlink("hello", victim.join("link")).unwrap();
        std::fs::create_dir(&root).unwrap();
        let before = Self::around(dir.path());
        Self { dir, root, before }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns everything next to the root, and the mtime of the directory that contains it.
    fn around(dir: &Path) -> Vec<Node> {
        tree::nodes(dir, &["root"])
    }

    /// # Panics
    /// If anything next to the root changed, or a file in the root contains [`SECRET`].
    #[track_caller]
    pub(crate) fn assert_unharmed(&self, what: &str) {
        assert_eq!(Self::around(self.dir.path()), self.before, "{what}");
        for path in tree::paths(&self.root) {
            assert!(!starts_with_secret(&path), "{what}: {} leaked", path.display());
        }
        for name in ["breakout-rpull", "victim", "pwned"] {
            for outside in ["/", "/tmp", "/etc"] {
                let outside = Path::new(outside).join(name);
                assert!(outside.symlink_metadata().is_err(), "{what}: {outside:?}");
            }
        }
    }
}

/// Reads no more than that: hostile layers create sparse files of many gigabytes.
fn starts_with_secret(path: &Path) -> bool {
    let mut start = Vec::new();
    if path.symlink_metadata().unwrap().is_file() {
        File::open(path).unwrap().take(SECRET.len() as u64).read_to_end(&mut start).unwrap();
    }
    start == SECRET.as_bytes()
}
