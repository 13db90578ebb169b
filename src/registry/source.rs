//! [`Lookup`] and [`Source`] for a repository.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{Repository, blob, manifest, referrers};
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, Lookup, Presence, Provenance,
    RateLimit, RequestCounts, Source,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::name::ImageName;

impl Lookup for Repository {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        Box::pin(async move {
            match effort {
                Effort::Local => Ok(Presence::Unknown),
                Effort::Request => manifest::head(self, name).await,
            }
        })
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(async move {
            Presence::from_result(match effort {
                Effort::Local => return Ok(Presence::Unknown),
                Effort::Request if descriptor.media_type.is_document() => {
                    manifest::read(self, descriptor, limit).await
                }
                Effort::Request => blob::read(self, descriptor, limit).await,
            })
        })
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        effort: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(async move {
            match effort {
                Effort::Local => Ok(BlobPresence::Unknown),
                Effort::Request => blob::presence(self, descriptor).await,
            }
        })
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        self.transport.announced_limit.get()
    }

    fn requests(&self) -> RequestCounts {
        self.counter.read()
    }
}

impl Source for Repository {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(manifest::resolve(self, name))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(blob::open(self, request))
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        Box::pin(async { Ok(Presence::Present(referrers::list(self, subject, None).await?)) })
    }

    fn provenance<'a>(&'a self, _: &'a Document) -> BoxFuture<'a, Provenance> {
        Box::pin(async { Provenance::default().repositories(vec![self.full_name().to_owned()]) })
    }
}
