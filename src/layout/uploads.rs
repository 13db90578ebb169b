//! URLs of unfinished uploads from this store: `uploads/<hex>`, one file per blob and repository.
//!
//! The URL of an upload session permits writing, so only the owner can read the files. Registries keep sessions for
//! hours; after a day the URL is not tried any more.

use std::fs::{DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::CWD;

use super::{Layout, blobs};
use crate::atomic_file::{AtomicFile, Fsync};
use crate::content::UploadStore;
use crate::digest::Digest;
use crate::secret::Secret;

/// Age after which a session is not tried any more.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// Maximum length of a stored URL, in bytes.
const MAX_URL_BYTES: u64 = 16 << 10;

impl Layout {
    fn uploads(&self) -> PathBuf {
        self.root().join("uploads")
    }

    fn upload(&self, target: &str, digest: &Digest) -> PathBuf {
        let key = Digest::sha256(format!("{target}\n{digest}").as_bytes());
        self.uploads().join(key.encoded())
    }
}

impl UploadStore for Layout {
    fn load(&self, target: &str, digest: &Digest) -> Option<Secret> {
        let path = self.upload(target, digest);
        let file = blobs::open_regular(&path).ok()?;
        if is_old(&file) {
            drop(std::fs::remove_file(&path));
            return None;
        }
        let mut url = String::new();
        file.take(MAX_URL_BYTES).read_to_string(&mut url).ok()?;
        Some(Secret::new(url))
    }

    fn save(&self, target: &str, digest: &Digest, url: &Secret) {
        if url.expose().len() as u64 >= MAX_URL_BYTES {
            return;
        }
        let dir = self.uploads();
        drop(DirBuilder::new().mode(0o700).create(&dir));
        remove_old(&dir);
        if let Err(error) = write(&self.upload(target, digest), url) {
            tracing::info!("failed to record the upload of {digest} for resuming: {error}");
        }
    }

    fn remove(&self, target: &str, digest: &Digest) {
        drop(std::fs::remove_file(self.upload(target, digest)));
    }
}

/// The file becomes visible only when complete: a truncated URL would lead somewhere else.
fn write(path: &Path, url: &Secret) -> std::io::Result<()> {
    // One temporary file per process: two may push the same blob.
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let file = AtomicFile::create_as(CWD, path, new, 0o600)?;
    file.file().write_all(url.expose().as_bytes())?;
    file.publish(Fsync::None)
}

fn is_old(file: &File) -> bool {
    let written = file.metadata().and_then(|found| found.modified());
    written.is_ok_and(|written| written < SystemTime::now() - MAX_AGE)
}

fn remove_old(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if File::open(entry.path()).is_ok_and(|file| is_old(&file)) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::layout::LayoutOptions;

    #[test]
    fn upload_url_is_private_and_expires_after_one_day() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(&dir.path().join("store"), LayoutOptions::default()).unwrap();
        let (one, other) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let recall =
            |target, digest| layout.load(target, digest).map(|url| url.expose().to_owned());
        assert_eq!(recall("reg/app", &one), None);
        layout.save("reg/app", &one, &Secret::new("http://reg/upload?state=1"));
        layout.save("reg/app", &one, &Secret::new("http://reg/upload?state=2"));
        assert_eq!(recall("reg/app", &one).as_deref(), Some("http://reg/upload?state=2"));
        assert_eq!((recall("reg/app", &other), recall("reg/ap", &one)), (None, None));
        let path = layout.upload("reg/app", &one);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(layout.uploads().metadata().unwrap().permissions().mode() & 0o777, 0o700);

        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - MAX_AGE - Duration::from_secs(1)).unwrap();
        assert_eq!(recall("reg/app", &one), None);
        layout.save("reg/app", &one, &Secret::new("x"));
        UploadStore::remove(&layout, "reg/app", &one);
        assert_eq!(recall("reg/app", &one), None);
        assert_eq!(std::fs::read_dir(layout.uploads()).unwrap().count(), 0);
    }
}
