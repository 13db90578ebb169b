//! A root to unpack into, and around it things that must stay as they are.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::tree::{self, Node};

/// The text that must never get into the root.
pub(crate) const SECRET: &str = "canary of the host";

pub(crate) struct OutsideGuard {
    dir: TempDir,
    root: PathBuf,
    before: Vec<Node>,
}

impl OutsideGuard {
    /// `victim/` with files and links and `file` beside an empty root.
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

    /// Everything beside the root; of the directory that holds it the time counts too.
    fn around(dir: &Path) -> Vec<Node> {
        tree::nodes(dir, &["root"])
    }

    /// # Panics
    /// Where anything beside the root changed, or something in the root has the canary's text.
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

/// No more is read: a hostile layer makes files of many gigabytes that are holes.
fn starts_with_secret(path: &Path) -> bool {
    let mut start = Vec::new();
    if path.symlink_metadata().unwrap().is_file() {
        File::open(path).unwrap().take(SECRET.len() as u64).read_to_end(&mut start).unwrap();
    }
    start == SECRET.as_bytes()
}
