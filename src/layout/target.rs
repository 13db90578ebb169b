//! A layout as a target.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::writer::LayoutWriter;
use super::{Layout, LayoutInner, blobs, partial};
use crate::content::{BlobPresence, Target, TargetPlan, TargetProperties, TargetWriter};
use crate::descriptor::Descriptor;
use crate::error::Result;

impl LayoutInner {
    /// Whether the blob exists with the right size. One of another size is damaged and is replaced.
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
        match partial::received_of(&self.root, &descriptor.digest)? {
            bytes if bytes == 0 || bytes > descriptor.size => Ok(BlobPresence::Absent),
            bytes => Ok(BlobPresence::Partial(bytes)),
        }
    }
}

impl Target for Layout {
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
