//! Replaces damaged blobs and adds missing ones.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::{Layout, LayoutInner, LayoutOptions, create, ingest};
use crate::content::BlobWriter;
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::lock::LockMode;

/// A layout whose blobs are being repaired. A blob stays as it is until its new bytes were verified.
#[derive(Clone, Debug)]
pub struct LayoutRepair(Arc<LayoutInner>);

impl Layout {
    /// Prepares for writing to a layout that was opened for reading. It stays private if its directory is.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] if it is not writable.
    pub fn begin_repair(&self) -> Result<LayoutRepair> {
        let mode =
            self.root().metadata().map(|found| found.permissions().mode()).unwrap_or_default();
        let private = mode & 0o777 == 0o700;
        let options = LayoutOptions { private, ..self.0.options };
        create::create(self.root(), &options, &self.0.control)?;
        let inner = LayoutInner::new(self.root(), options, &self.0.control)?;
        inner.lock_dir(LockMode::Shared)?;
        Ok(LayoutRepair(Arc::new(inner)))
    }
}

impl LayoutRepair {
    /// Opens a blob for writing, whether or not it exists. Waits while another process is writing it.
    ///
    /// The commit replaces an existing blob in one step. If it never comes, the next writer of the blob continues.
    pub async fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn BlobWriter>> {
        ingest::open_to_replace(&self.0, descriptor).await
    }

    /// Ends the repair, as the end of a run that writes.
    pub fn finish(&self) -> Result<()> {
        self.0.journal.finish()
    }
}
