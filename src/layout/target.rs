//! A layout as something to write to.

use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::writer::LayoutWriter;
use super::{Layout, LayoutInner, blobs};
use crate::content::{BlobPresence, Target, TargetPlan, TargetProperties, TargetWriter};
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::error::{ErrorKind, Result};

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

    fn properties(&self) -> TargetProperties {
        TargetProperties::default()
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        Box::pin(async { Ok(Arc::new(LayoutWriter::begin(self, plan)?) as Arc<dyn TargetWriter>) })
    }
}
