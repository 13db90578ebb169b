//! [`Lookup`] and [`Source`] for a repository.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::mirrors::read::{Need, first_answer};
use super::{Repository, blob, manifest, mirrors, referrers};
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
                Effort::Request => {
                    first_answer(self, Need::of_name(name), |host| manifest::head(host, name)).await
                }
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
            if effort == Effort::Local {
                return Ok(Presence::Unknown);
            }
            let read = |host| async move {
                Presence::from_result(if descriptor.media_type.is_document() {
                    manifest::read(host, descriptor, limit).await
                } else {
                    blob::read(host, descriptor, limit).await
                })
            };
            first_answer(self, Need::Digest(&descriptor.digest), read).await
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
                Effort::Request => {
                    let need = Need::Digest(&descriptor.digest);
                    first_answer(self, need, |host| blob::presence(host, descriptor)).await
                }
            }
        })
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        self.transport.announced_limit.get()
    }

    fn requests(&self) -> RequestCounts {
        self.counter.read()
    }

    fn bytes_by_host(&self) -> BTreeMap<String, u64> {
        self.received.read()
    }
}

impl Source for Repository {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        let resolve = |host| manifest::resolve(host, name);
        Box::pin(first_answer(self, Need::of_name(name), resolve))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(mirrors::blob::open(self, request))
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        Box::pin(async move {
            let list = |host| referrers::list(host, subject, None);
            Ok(Presence::Present(first_answer(self, Need::Referrers, list).await?))
        })
    }

    fn exclude_wrong(&self, blob: &Digest) -> bool {
        self.exclude_mirrors_of(blob)
    }

    fn provenance<'a>(&'a self, _: &'a Document) -> BoxFuture<'a, Provenance> {
        Box::pin(async { Provenance::default().repositories(vec![self.full_name().to_owned()]) })
    }
}
