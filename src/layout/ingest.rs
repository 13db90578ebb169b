//! The ingest of one blob: a locked partial, renamed into `blobs/` once it is verified.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::partial::{self, PartialFile};
use super::{LayoutInner, blobs, create, io_error, sync_dir};
use crate::blocking::run_blocking;
use crate::content::{BlobRanges, BlobWriter, ByteStream, Opened, Presence};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{self, LockMode, WaitTimer};
use crate::verifier::Verified;

/// Returns `Exists` or opens the blob for writing. Waits while another process or task is writing it.
pub(super) async fn open(inner: &Arc<LayoutInner>, descriptor: &Descriptor) -> Result<Opened> {
    let writer = open_unless(inner, descriptor, || inner.has(descriptor)).await?;
    Ok(writer.map_or(Opened::Exists, Opened::Writer))
}

/// Opens the blob for writing, whether or not it exists. Waits while another process or task is writing it.
pub(super) async fn open_to_replace(
    inner: &Arc<LayoutInner>,
    descriptor: &Descriptor,
) -> Result<Box<dyn BlobWriter>> {
    let writer = open_unless(inner, descriptor, || Ok(false)).await?;
    writer.ok_or_else(|| Error::new(ErrorKind::Store, format!("blob {}", descriptor.digest)))
}

/// Opens the blob for writing; `None` if `exists` is true meanwhile.
async fn open_unless(
    inner: &Arc<LayoutInner>,
    descriptor: &Descriptor,
    exists: impl Fn() -> Result<bool>,
) -> Result<Option<Box<dyn BlobWriter>>> {
    let mut path = blobs::partial_path(&inner.root, &descriptor.digest)?;
    let own_path = blobs::partial_path_of_size(&inner.root, &descriptor.digest, descriptor.size)?;
    let what = format!("blob {}", descriptor.digest);
    let waiting = inner.lock_wait(&what, &inner.control);
    let mut clock = WaitTimer::new();
    loop {
        if exists()? {
            return Ok(None);
        }
        let mode = if inner.options.private { 0o600 } else { 0o666 };
        let file = blobs::open_regular_with(
            &path,
            OpenOptions::new().read(true).write(true).create(true).mode(mode),
        )
        .map_err(|error| io_error("open", &path, error))?;
        if !lock::try_lock(&file, LockMode::Exclusive, &path)? {
            let length = file.metadata().map_err(|error| io_error("read", &path, error))?.len();
            clock.tick(&file, &waiting, Some(length))?;
            tokio::time::sleep(lock::POLL_INTERVAL).await;
            continue;
        }
        if !is_same_file(&file, &path).map_err(|error| io_error("read", &path, error))? {
            // The previous owner of the lock renamed this file; its bytes are under another name.
            continue;
        }
        let (file, is_of_other_boot) = PartialFile::open(file, &path, mode)?;
        let mut partial = PartialBlob {
            inner: Arc::clone(inner),
            descriptor: descriptor.clone(),
            file: Arc::new(file),
            kept: 0,
        };
        if exists()? {
            // Committed between the lookup and the lock: these bytes are of no use.
            partial.clear()?;
            return Ok(None);
        }
        if partial.file.length()? > descriptor.size {
            if path != own_path {
                // Two descriptors disagree about the size. Only the bytes can show which is right; until then both
                // partials are kept.
                path.clone_from(&own_path);
                continue;
            }
            partial.clear()?;
        }
        if is_of_other_boot {
            let file = Arc::clone(&partial.file);
            run_blocking(&what, move || file.check()).await?;
        }
        partial.kept = partial.file.prefix()?;
        return Ok(Some(Box::new(partial)));
    }
}

/// Whether the path still leads to this file.
pub(super) fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(found) => {
            let own = file.metadata()?;
            Ok((found.dev(), found.ino()) == (own.dev(), own.ino()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

struct PartialBlob {
    inner: Arc<LayoutInner>,
    descriptor: Descriptor,
    /// Open for reading and writing, with an exclusive lock on it.
    file: Arc<PartialFile>,
    kept: u64,
}

impl PartialBlob {
    fn clear(&mut self) -> Result<()> {
        self.kept = 0;
        self.file.clear()
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write(self.kept, bytes)?;
        self.kept += bytes.len() as u64;
        Ok(())
    }

    fn publish(&mut self, proof: &Verified) -> Result<()> {
        let Descriptor { digest, size, .. } = self.descriptor.clone();
        let file = &self.file;
        if proof.descriptor().digest != digest || self.kept != size || file.length()? != size {
            let reason = "internal error: written bytes differ from verified bytes";
            return Err(
                Error::new(ErrorKind::Mismatch, format!("blob {digest}")).with_reason(reason)
            );
        }
        file.end_list()?;
        if let Err(error) = publish(&self.inner, file.file(), file.path(), proof) {
            // The sync failed, so nothing is left of the bytes.
            self.kept = file.length()?;
            if self.kept == 0 {
                file.clear()?;
            }
            return Err(error);
        }
        let longer = blobs::partial_path(&self.inner.root, &digest)?;
        if longer != file.path() && longer.exists() {
            // It was for a different size, so it could never have become this blob.
            drop(partial::remove(&longer));
        }
        Ok(())
    }
}

/// Renames a locked file of verified bytes into `blobs/`.
pub(super) fn publish(
    inner: &LayoutInner,
    file: &File,
    from: &Path,
    proof: &Verified,
) -> Result<()> {
    let (digest, options) = (&proof.descriptor().digest, inner.options);
    if options.sync
        && let Err(error) = file.sync_all()
    {
        // The kernel reports a lost write only once: afterwards the file reads and syncs without error, until it is
        // evicted.
        file.set_len(0).map_err(|error| io_error("empty", from, error))?;
        return Err(io_error("sync", from, error));
    }
    let path = blobs::blob_path(&inner.root, digest)?;
    let dir = path.parent().unwrap_or(&inner.root);
    create::create_dir(dir, if options.private { 0o700 } else { 0o777 })?;
    inner.journal.record_before_rename(digest)?;
    std::fs::rename(from, &path).map_err(|error| io_error("rename", from, error))?;
    if options.private {
        // Not before the rename: a read-only partial could not be resumed after a kill. By handle: the path could lead
        // elsewhere by now.
        file.set_permissions(Permissions::from_mode(0o444))
            .map_err(|error| io_error("protect", &path, error))?;
    }
    if options.sync { sync_dir(dir) } else { Ok(()) }
}

impl BlobWriter for PartialBlob {
    fn offset(&self) -> u64 {
        self.kept
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        let path = self.file.path();
        let file = self.file.file().try_clone().map_err(|error| io_error("read", path, error))?;
        Ok(Presence::Present(blobs::stream(file, path.to_owned(), 0..self.kept)))
    }

    fn file(&self) -> Result<Option<File>> {
        // Opened again: a duplicate of the handle would hold the lock as long as a reader exists.
        let found = blobs::open_regular(self.file.path()).and_then(|file| {
            let own = self.file.file().metadata()?;
            let found = file.metadata()?;
            Ok(((found.dev(), found.ino()) == (own.dev(), own.ino())).then_some(file))
        });
        found.map_err(|error| io_error("open", self.file.path(), error))
    }

    fn ranges(&self) -> Option<Arc<dyn BlobRanges>> {
        self.file.track(self.kept);
        Some(Arc::clone(&self.file) as Arc<dyn BlobRanges>)
    }

    fn advance(&mut self, bytes: u64) -> Result<()> {
        self.kept += bytes;
        Ok(())
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.append(&bytes) })
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.clear() })
    }

    fn commit(mut self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.publish(&proof) })
    }
}

impl Drop for PartialBlob {
    fn drop(&mut self) {
        // Nothing was received, so there is nothing to resume. The lock is still held, so no other process uses the file.
        let (file, path) = (self.file.file(), self.file.path());
        if self.file.is_empty() && is_same_file(file, path).unwrap_or(false) {
            drop(partial::remove(path));
        }
    }
}
