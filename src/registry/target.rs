//! A repository as something to write to.

use std::future::ready;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;

use super::{Repository, manifest, upload};
use crate::content::{BlobPresence, Incoming, Label, Opened, Target};
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;

impl Repository {
    /// Stores the document under its name, or under its digest; one that is there already is left alone.
    async fn store(&self, document: &Document, label: Option<&Label>) -> Result<()> {
        let digest = document.digest();
        let name = match label.map(|label| &label.name) {
            Some(name @ ImageName::Tag(_)) => name.clone(),
            Some(ImageName::Digest(wanted)) if wanted != digest => {
                return Err(Error::new(ErrorKind::Mismatch, format!("manifest {digest}"))
                    .at(self.address())
                    .with_reason(format!("was to be pushed as {wanted}")));
            }
            None if self.known().is_proven(digest) => return Ok(()),
            _ => ImageName::Digest(digest.clone()),
        };
        if digest.algorithm_name() != "sha256" && matches!(name, ImageName::Tag(_)) {
            // Not every registry knows it so, which is to be found before the tag changes.
            manifest::put(self, document, &ImageName::Digest(digest.clone())).await?;
        }
        if let ImageName::Tag(tag) = &name
            && self.tag_with_others(document, tag).await
        {
            return Ok(());
        }
        manifest::put(self, document, &name).await?;
        self.known().sent(digest);
        Ok(())
    }

    /// Gives the tag together with the others that this run wants for the document, in one request, where the registry can
    /// do that; says whether the tag is given.
    async fn tag_with_others(&self, document: &Document, tag: &str) -> bool {
        let tags = {
            let mut known = self.known();
            if known.was_given(document.digest(), tag) {
                return true;
            }
            known.take_tags(document.digest(), tag)
        };
        let refused = &self.transport.tags_refused;
        if tags.len() < 2 || refused.load(Ordering::Relaxed) {
            return false;
        }
        match manifest::put_tags(self, document, &tags).await {
            Ok(given) => {
                if given.is_empty() {
                    // It took the manifest and did not look at the query.
                    refused.store(true, Ordering::Relaxed);
                }
                let mut known = self.known();
                known.sent(document.digest());
                known.give(document.digest(), given);
                known.was_given(document.digest(), tag)
            }
            // Each tag by itself finds out what is wrong.
            Err(error) => {
                tracing::info!("{}; giving each tag by itself", error.chain());
                false
            }
        }
    }
}

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

    fn admit<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(upload::open_ingest(self, descriptor))
    }

    fn put<'a>(
        &'a self,
        document: &'a Document,
        label: Option<&'a Label>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.store(document, label))
    }
}
