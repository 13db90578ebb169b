//! One run that writes to a layout.
//!
//! Any number of runs may write to one layout at the same time, in one process or several. Blobs may come in any order,
//! and need not be in the plan; a blob that another writer has open is waited for. Committed blobs and names stay when
//! a run is dropped, and the next run resumes partials. `finish` syncs as described in [`super::journal`].

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::index::IndexFile;
use super::origins::with_origins;
use super::{INDEX_ANNOTATION, Layout, LayoutInner, SUBJECT_ANNOTATION, blobs, ingest};
use crate::blocking::{run_blocking, run_cancellable};
use crate::content::{
    FinishGuard, OpenBlobOptions, Opened, Provenance, Role, TargetPlan, TargetWriter, check_content,
};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::free_space::insufficient_space;
use crate::name::ImageName;
use crate::size::size;
use crate::verifier::verify;

pub(super) struct LayoutWriter {
    layout: Layout,
    /// Accepts manifests with missing content.
    is_sparse: bool,
    finished: FinishGuard,
}

impl LayoutWriter {
    /// Refuses a plan that certainly does not fit on the disk, and journals the blobs that it may rename.
    pub(super) fn begin(layout: &Layout, plan: &TargetPlan<'_>) -> Result<Self> {
        check_space(layout, plan.remaining_bytes())?;
        let documents = plan.documents.iter().map(|document| document.digest());
        let blobs = plan.blobs.iter().map(|(descriptor, _)| &descriptor.digest);
        let digests: Vec<_> = documents.chain(blobs).cloned().collect();
        layout.0.journal.record(&digests)?;
        let finished = FinishGuard::default();
        Ok(Self { layout: layout.clone(), is_sparse: plan.sparse, finished })
    }

    fn inner(&self) -> &Arc<LayoutInner> {
        &self.layout.0
    }

    async fn put(&self, document: &Document, role: Role<'_>) -> Result<()> {
        let location = self.inner().location();
        self.finished.check(location)?;
        if !self.is_sparse {
            let is_there = |content: &Descriptor| {
                Ok(content.digest.algorithm().is_ok() && self.inner().has(content)?)
            };
            check_content(document, location, is_there)?;
        }
        let (names, provenance, attached_to) = match role {
            Role::Child => return self.store(document).await,
            Role::Root { names, provenance } => (names, provenance, None),
            Role::Attached { names, provenance } => (names, provenance, document.subject()),
        };
        if let Some(index) = &provenance.parent_index {
            self.store(index).await?;
        }
        self.store(document).await?;
        let mut descriptor = named_descriptor(document, provenance);
        for name in names {
            let name = match name {
                ImageName::Tag(name) | ImageName::Layout(name) => name.clone(),
                ImageName::Digest(_) => {
                    let (inner, descriptor) = (Arc::clone(self.inner()), descriptor.clone());
                    let keep = move |control: &Control| {
                        let keep = |index: &mut IndexFile| index.add_unnamed(descriptor);
                        inner.change_index_unless_cancelled(control, keep)
                    };
                    self.change_names(keep).await?;
                    continue;
                }
                ImageName::Only => {
                    return Err(Error::new(ErrorKind::InvalidInput, "name")
                        .at(location)
                        .with_reason("an image in a layout needs a name or its digest"));
                }
            };
            if let Some(subject) = attached_to {
                let subject = subject.digest.to_string();
                descriptor.annotations.insert(SUBJECT_ANNOTATION.to_owned(), subject);
            }
            let is_attached = attached_to.is_some();
            self.set_name(name, descriptor.clone(), provenance, is_attached).await?;
        }
        Ok(())
    }

    /// Writing index.json waits for the disk and possibly for other processes; other blobs must not wait for that.
    async fn set_name(
        &self,
        name: String,
        descriptor: Descriptor,
        provenance: &Provenance,
        is_attached: bool,
    ) -> Result<()> {
        let (inner, origins) = (Arc::clone(self.inner()), provenance.repositories.clone());
        let work = move |control: &Control| {
            inner.change_index_unless_cancelled(control, |index| {
                // A name that a user pulled must not disappear together with the subject.
                if is_attached && index.find(&name)?.is_some() {
                    return Ok(false);
                }
                let descriptor = with_origins(index, &name, descriptor, &origins)?;
                index.set(&name, descriptor)
            })
        };
        self.change_names(work).await
    }

    /// Dropping the future ends the wait for other processes.
    async fn change_names(
        &self,
        change: impl FnOnce(&Control) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        run_cancellable(&self.inner().control, "write index.json", change).await
    }

    /// Documents are small enough to be read again, so a damaged one is detected and replaced.
    async fn store(&self, document: &Document) -> Result<()> {
        let descriptor = document.descriptor();
        let path = blobs::blob_path(self.layout.root(), &descriptor.digest)?;
        match self.layout.read_document(descriptor) {
            Ok(_) => return Ok(()),
            // A file that cannot be read at the moment, for example because too many files are open, may be intact.
            Err(error) if error.kind() == ErrorKind::Store && is_file(&path) => return Err(error),
            Err(_) => {}
        }
        let proof = verify(descriptor, document.bytes())?;
        if path.exists() {
            std::fs::remove_file(&path)
                .map_err(|error| super::io_error("replace", &path, error))?;
        }
        match ingest::open(self.inner(), descriptor).await? {
            Opened::Exists | Opened::Mounted { .. } => Ok(()),
            Opened::Writer(mut writer) => {
                writer.truncate().await?;
                writer.write(document.bytes().clone()).await?;
                writer.commit(proof).await
            }
        }
    }
}

impl TargetWriter for LayoutWriter {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            self.finished.check(self.inner().location())?;
            ingest::open(self.inner(), descriptor).await
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.put(document, role))
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.finished.finish(self.inner().location())?;
            let inner = Arc::clone(self.inner());
            run_blocking("sync", move || inner.journal.finish()).await
        })
    }
}

/// Fails if there is certainly no space for this many bytes.
fn check_space(layout: &Layout, bytes: u64) -> Result<()> {
    let Some(free) = insufficient_space(&layout.0.dir, bytes) else { return Ok(()) };
    let full = std::io::Error::from(rustix::io::Errno::NOSPC);
    let reason = format!("{} more needed, {} free", size(bytes), size(free));
    Err(super::io_error("write", layout.root(), full).with_reason(reason))
}

fn named_descriptor(document: &Document, provenance: &Provenance) -> Descriptor {
    let mut descriptor = document.descriptor().clone();
    match &provenance.parent_index {
        Some(index) => {
            descriptor.annotations.insert(INDEX_ANNOTATION.to_owned(), index.digest().to_string())
        }
        // The document may have annotations of these names; here they have no meaning.
        None => descriptor.annotations.remove(INDEX_ANNOTATION),
    };
    descriptor.annotations.remove(SUBJECT_ANNOTATION);
    descriptor
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}
