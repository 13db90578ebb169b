//! A repository as something to write to.

use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::writer::RepositoryWriter;
use super::{Repository, manifest};
use crate::content::{BlobPresence, Incoming, Target, TargetPlan, TargetProperties, TargetWriter};
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::error::{Error, Result};
use crate::name::ImageName;

impl Target for Repository {
    fn recognise<'a>(
        &'a self,
        name: &'a ImageName,
        index: &'a Document,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.look_for(name, index))
    }

    fn stored<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Option<Document>>> {
        Box::pin(async move {
            if !self.known().is_proven(&descriptor.digest) {
                return Ok(None);
            }
            // What cannot be read here is read at the source.
            Ok(manifest::document(self, descriptor).await.ok())
        })
    }

    fn survey<'a>(&'a self, image: Incoming<'a>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.look_at(image))
    }

    fn holds<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<BlobPresence>> {
        let known = self.known();
        Box::pin(ready(Ok(if known.is_proven(&descriptor.digest) {
            BlobPresence::Complete
        } else if known.is_lent(&descriptor.digest) {
            BlobPresence::Mountable
        } else {
            BlobPresence::Absent
        })))
    }

    fn distrust(&self, error: &Error) {
        self.known().distrust(error.missing());
    }

    fn properties(&self) -> TargetProperties {
        TargetProperties { manifests_imply_blobs: true, ..TargetProperties::default() }
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        Box::pin(async {
            Ok(Arc::new(RepositoryWriter::begin(self, plan)) as Arc<dyn TargetWriter>)
        })
    }
}
