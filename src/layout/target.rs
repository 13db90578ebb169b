//! A layout as something to write to.

use std::future::ready;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::origins::with_origins;
use super::{INDEX_ANNOTATION, Layout, LayoutInner, SUBJECT_ANNOTATION, blobs, ingest};
use crate::content::{BlobPresence, Label, Opened, Target};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::free_space::too_little;
use crate::name::ImageName;
use crate::verifier::verify;

impl Layout {
    async fn write_document(
        &self,
        document: &Document,
        label: Option<&Label>,
        along_with: Option<&Descriptor>,
    ) -> Result<()> {
        if let Some(index) = label.and_then(|label| label.index.as_ref()) {
            self.store_bytes(index).await?;
        }
        self.store_bytes(document).await?;
        let Some(label) = label else { return Ok(()) };
        let mut descriptor = descriptor_with_names(document, label);
        let name = match &label.name {
            ImageName::Tag(name) | ImageName::Layout(name) => name.clone(),
            ImageName::Digest(_) => {
                let inner = Arc::clone(&self.0);
                let keep = move || inner.change_index(|index| index.keep(descriptor));
                return run_blocking("write index.json", keep).await;
            }
            ImageName::Only => {
                return Err(Error::new(ErrorKind::InvalidInput, "name")
                    .at(self.0.place())
                    .with_reason("an image in a layout needs a name or its digest"));
            }
        };
        let came_along = along_with.is_some();
        if let Some(subject) = along_with {
            descriptor
                .annotations
                .insert(SUBJECT_ANNOTATION.to_owned(), subject.digest.to_string());
        }
        let origins = label.origins.clone();
        let inner = Arc::clone(&self.0);
        // Writing index.json waits for the disk and maybe for other processes; other blobs must not wait with it.
        let work = move || {
            inner.change_index(|index| {
                // Who asked for it by this name must not lose it with what it refers to.
                if came_along && index.find(&name)?.is_some() {
                    return Ok(false);
                }
                let descriptor = with_origins(index, &name, descriptor, &origins)?;
                index.set(&name, descriptor)
            })
        };
        run_blocking("write index.json", work).await
    }

    /// Documents are small enough to be read again: one that is damaged is replaced.
    async fn store_bytes(&self, document: &Document) -> Result<()> {
        let descriptor = document.descriptor();
        let path = blobs::blob_path(self.root(), &descriptor.digest)?;
        match self.read_document(descriptor) {
            Ok(_) => return Ok(()),
            // What cannot be read at this moment, because too many files are open for example, may be whole.
            Err(error) if error.kind() == ErrorKind::Store && is_file(&path) => return Err(error),
            Err(_) => {}
        }
        let proof = verify(descriptor, document.bytes())?;
        if path.exists() {
            std::fs::remove_file(&path)
                .map_err(|error| super::io_error("replace", &path, error))?;
        }
        match ingest::admit(&self.0, descriptor).await? {
            Opened::Exists | Opened::Mounted { .. } => Ok(()),
            Opened::Writer(mut writer) => {
                writer.truncate().await?;
                writer.write(document.bytes().clone()).await?;
                writer.commit(proof).await
            }
        }
    }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}

/// Does what waits for the disk or for other processes on a thread of its own.
async fn run_blocking(
    what: &str,
    work: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<()> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::new(ErrorKind::Store, what).with_source(error)))
}

/// What cannot be used counts as absent: where the source is another place, it is fetched again and replaced.
fn ignore_damaged(found: Result<Document>) -> Option<Document> {
    match found {
        Ok(document) => Some(document),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!("{}; it counts as missing", error.chain());
            }
            None
        }
    }
}

fn descriptor_with_names(document: &Document, label: &Label) -> Descriptor {
    let mut descriptor = document.descriptor().clone();
    match &label.index {
        Some(index) => {
            descriptor.annotations.insert(INDEX_ANNOTATION.to_owned(), index.digest().to_string())
        }
        // The document may bring annotations of these names along, which mean nothing here.
        None => descriptor.annotations.remove(INDEX_ANNOTATION),
    };
    descriptor.annotations.remove(SUBJECT_ANNOTATION);
    descriptor
}

impl LayoutInner {
    /// Whether the blob is there with the right size; one of another size is damaged and will be replaced.
    pub(super) fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(blobs::blob_size(&self.root, &descriptor.digest)? == Some(descriptor.size))
    }

    pub(super) fn presence(&self, descriptor: &Descriptor) -> Result<BlobPresence> {
        if descriptor.digest.algorithm().is_err() {
            return Ok(BlobPresence::Absent);
        }
        if self.has(descriptor)? {
            return Ok(BlobPresence::Complete);
        }
        match blobs::partial_size_of(&self.root, &descriptor.digest)? {
            bytes if bytes == 0 || bytes > descriptor.size => Ok(BlobPresence::Absent),
            bytes => Ok(BlobPresence::Partial(bytes)),
        }
    }
}

impl Target for Layout {
    fn stored<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Option<Document>>> {
        Box::pin(ready(Ok(ignore_damaged(self.read_document(descriptor)))))
    }

    fn holds<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(ready(self.0.presence(descriptor)))
    }

    fn check_space(&self, bytes: u64) -> Result<()> {
        let Some(free) = too_little(&self.0.folder, bytes) else { return Ok(()) };
        let full = std::io::Error::from(rustix::io::Errno::NOSPC);
        let why = format!("{bytes} more bytes are needed, {free} are free");
        Err(super::io_error("write", self.root(), full).with_reason(why))
    }

    fn announce<'a>(&'a self, digests: &'a [Digest]) -> BoxFuture<'a, Result<()>> {
        Box::pin(ready(self.0.record_in_journal(digests)))
    }

    fn admit<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(ingest::admit(&self.0, descriptor))
    }

    fn put<'a>(
        &'a self,
        document: &'a Document,
        label: Option<&'a Label>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.write_document(document, label, None))
    }

    fn attach<'a>(&'a self, document: &'a Document, label: &'a Label) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.write_document(document, Some(label), document.subject()))
    }

    fn settle(&self) -> BoxFuture<'_, Result<()>> {
        let inner = Arc::clone(&self.0);
        Box::pin(run_blocking("sync", move || inner.finish_journal()))
    }
}
