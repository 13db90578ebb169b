//! The backend as a source.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rpull::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, Lookup, Presence, Source,
};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::name::ImageName;
use rpull::verifier::verify;

use super::directory::{Directory, read_range};

// All data is local: both efforts give the same result, and nothing is unknown.
impl Lookup for Directory {
    fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        Box::pin(async move { Ok(self.0.find(name)?.into()) })
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(async move {
            let path = self.0.path("content", descriptor.digest.as_str());
            let Some(bytes) = self.0.read_small(&path, limit)? else { return Ok(Presence::Absent) };
            verify(descriptor, &bytes)?;
            Ok(Presence::Present(bytes))
        })
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(async move {
            if self.0.has(descriptor)? {
                return Ok(BlobPresence::Complete);
            }
            Ok(match self.0.size("partial", &descriptor.digest)? {
                Some(bytes) if bytes > 0 => BlobPresence::Partial(bytes),
                _ => BlobPresence::Absent,
            })
        })
    }
}

impl Source for Directory {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(async move {
            let not_found =
                || Error::new(ErrorKind::NotFound, name.to_string()).at(&self.0.endpoint.location);
            let descriptor = self.0.find(name)?.ok_or_else(not_found)?;
            rpull::content::fetch_document(self, &descriptor).await
        })
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(async move {
            let digest = &request.descriptor.digest;
            let mut file = match File::open(self.0.path("content", digest.as_str())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::new(ErrorKind::NotFound, format!("blob {digest}"))
                        .at(&self.0.endpoint.location));
                }
                opened => opened.map_err(|error| self.0.io_error(error))?,
            };
            let range = request.range_to_read();
            file.seek(SeekFrom::Start(range.start)).map_err(|error| self.0.io_error(error))?;
            let stream = Box::pin(read_range(file, range.end - range.start));
            Ok(BlobStream::new(range.start, stream))
        })
    }
}
