//! [`Source`] for a docker daemon.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use http_body_util::BodyDataStream;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::socket::Socket;
use crate::archive::Archive;
use crate::blocking::run_cancellable;
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, EndpointKind, Lookup, Presence, Source,
};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::engine_store::store::{EngineStore, full_name_among};
use crate::error::{Error, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::json::{Object, null_is_default};
use crate::name::ImageName;
use crate::reference::{Reference, full_name};

/// A docker daemon, by its socket.
///
/// Looking an image up asks the daemon about it; everything else needs the stream of `docker save`, which is written to an
/// unnamed file in the directory for temporary files.
#[derive(Debug)]
pub struct DockerDaemon {
    socket: Socket,
    endpoint: Endpoint,
    /// The images that were streamed, by their names at the daemon.
    archives: Mutex<HashMap<String, Archive>>,
}

/// What the daemon says about an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageInspect {
    #[serde(default, deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
}

impl DockerDaemon {
    /// Takes the socket from `DOCKER_HOST`, else `/var/run/docker.sock`. Nothing is asked.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if `DOCKER_HOST` is not a unix socket.
    pub fn from_env() -> Result<Arc<Self>> {
        let endpoint = Endpoint::new("docker-daemon").kind(EndpointKind::Engine).has_plain_layers();
        Ok(Arc::new(Self { socket: Socket::from_env()?, endpoint, archives: Mutex::default() }))
    }

    async fn inspect(&self, name: &str) -> Result<ImageInspect> {
        let target = format!("/images/{name}/json");
        let Object(answer) = self.socket.json(&target, name).await?;
        Ok(answer)
    }

    /// The image as an archive. Images are streamed one after the other.
    async fn archive(&self, name: &ImageName) -> Result<Archive> {
        let name = name_at_daemon(name)?;
        let mut archives = self.archives.lock().await;
        if let Some(archive) = archives.get(&name) {
            return Ok(archive.clone());
        }
        // Cheaper than a stream that ends early, and with a clearer error.
        self.inspect(&name).await?;
        let body = self.socket.get(&format!("/images/{name}/get"), &name).await?;
        let stream = BodyDataStream::new(body).map_err(io::Error::other);
        let reader = SyncIoBridge::new(StreamReader::new(stream));
        let location = format!("docker-daemon:{name}");
        let spool = move |control: &Control| Archive::spool(reader, &location, control);
        let archive = run_cancellable(&Control::default(), "read the image", spool).await?;
        archives.insert(name, archive.clone());
        Ok(archive)
    }

    async fn archives(&self) -> Vec<Archive> {
        self.archives.lock().await.values().cloned().collect()
    }
}

/// How to ask the daemon for an image. Without a tag it would send all tags of the repository.
fn name_at_daemon(name: &ImageName) -> Result<String> {
    match name {
        ImageName::Digest(digest) => Ok(digest.to_string()),
        ImageName::Tag(text) | ImageName::Layout(text) => {
            if ImageId::parse(text).is_some() {
                return Ok(text.clone());
            }
            let reference: Reference = text.parse()?;
            Ok(reference.digest().map_or_else(|| reference.store_name(), |_| reference.to_string()))
        }
        ImageName::Only => Err(Error::new(ErrorKind::InvalidInput, "location `docker-daemon:`")
            .with_reason("missing name of the image")),
    }
}

impl EngineStore for DockerDaemon {
    fn full_name<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let found = self.inspect(&name_at_daemon(name)?).await?;
            let names: Vec<String> = found.repo_tags.iter().map(|tag| full_name(tag)).collect();
            Ok(full_name_among(&names, name))
        })
    }

    fn stat_blob<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Descriptor>> {
        Box::pin(async move {
            Err(Error::new(ErrorKind::Unsupported, format!("blob {digest}"))
                .at(&self.endpoint.location)
                .with_reason("a docker daemon gives only whole images"))
        })
    }
}

impl Lookup for DockerDaemon {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        Box::pin(async move {
            let found = self.resolve(name).await;
            Presence::from_result(found.map(|document| document.descriptor().clone()))
        })
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(async move {
            for archive in self.archives().await {
                let read = archive.read(descriptor, limit, effort).await?;
                if read != Presence::Absent {
                    return Ok(read);
                }
            }
            Ok(Presence::Absent)
        })
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        effort: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(async move {
            for archive in self.archives().await {
                let found = archive.blob(descriptor, effort).await?;
                if found != BlobPresence::Absent {
                    return Ok(found);
                }
            }
            Ok(BlobPresence::Absent)
        })
    }
}

impl Source for DockerDaemon {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(async move { self.archive(name).await?.resolve(&ImageName::Only).await })
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(async move {
            for archive in self.archives().await {
                match archive.open_blob(request.clone()).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    opened => return opened,
                }
            }
            let what = format!("blob {}", request.descriptor.digest);
            Err(Error::new(ErrorKind::NotFound, what)
                .at(&self.endpoint.location)
                .with_reason("not in the image"))
        })
    }

    fn platform_entries<'a>(
        &'a self,
        name: &'a ImageName,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        Box::pin(async move { self.archive(name).await?.platform_entries(&ImageName::Only).await })
    }
}
