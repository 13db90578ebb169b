//! The backend as a target.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rpull::content::{
    BlobWriter, ByteStream, OpenBlobOptions, Opened, Presence, Role, Target, TargetPlan,
    TargetProperties, TargetWriter, missing_content,
};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::name::ImageName;
use rpull::verifier::Verified;

use super::directory::{Directory, Inner, read_range};

impl Target for Directory {
    fn properties(&self) -> TargetProperties {
        // Blobs in any order; names are published one by one; a manifest does not prove that its blobs exist.
        TargetProperties::default()
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        let run =
            Run { directory: self.clone(), sparse: plan.sparse, finished: AtomicBool::new(false) };
        Box::pin(async move { Ok(Arc::new(run) as Arc<dyn TargetWriter>) })
    }
}

struct Run {
    directory: Directory,
    sparse: bool,
    finished: AtomicBool,
}

impl Run {
    fn inner(&self) -> &Inner {
        &self.directory.0
    }

    fn finished(&self) -> Error {
        Error::new(ErrorKind::Unsupported, "write")
            .at(&self.inner().endpoint.location)
            .with_reason("the run is finished")
    }

    fn check_open(&self) -> Result<()> {
        if self.finished.load(Ordering::Acquire) { Err(self.finished()) } else { Ok(()) }
    }

    fn store(&self, document: &Document, names: &[ImageName]) -> Result<()> {
        let inner = self.inner();
        if !self.sparse {
            let missing = missing_content(document, |content| inner.has(content))?;
            if !missing.is_empty() {
                let error =
                    Error::new(ErrorKind::MissingBlobs, format!("manifest {}", document.digest()));
                return Err(error.at(&inner.endpoint.location).with_missing(missing));
            }
        }
        let digest = document.digest().as_str();
        inner.write_small(&inner.path("content", digest), document.bytes())?;
        let json = serde_json::to_vec(document.descriptor());
        let json =
            json.map_err(|error| Error::new(ErrorKind::Store, "descriptor").with_source(error))?;
        inner.write_small(&inner.path("documents", digest), &json)?;
        // Names come last: a name never points to missing content.
        names.iter().try_for_each(|name| {
            inner.write_small(&inner.path("names", &name.to_string()), digest.as_bytes())
        })
    }
}

impl TargetWriter for Run {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async move {
            self.check_open()?;
            let digest = &descriptor.digest;
            let lock = {
                let mut writers =
                    self.inner().writers.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(writers.entry(digest.clone()).or_default())
            };
            let lock = lock.lock_owned().await;
            // Another writer may have committed it during the wait.
            if self.inner().has(descriptor)? {
                return Ok(Opened::Exists);
            }
            let path = self.inner().path("partial", digest.as_str());
            let options = File::options().read(true).append(true).create(true).open(&path);
            let file = options.map_err(|error| self.inner().io_error(error))?;
            let offset = file.metadata().map_err(|error| self.inner().io_error(error))?.len();
            let directory = self.directory.clone();
            Ok(Opened::Writer(Box::new(Writer {
                directory,
                descriptor: descriptor.clone(),
                path,
                file,
                offset,
                _lock: lock,
            })))
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check_open()?;
            self.store(document, role.names())
        })
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            if self.finished.swap(true, Ordering::AcqRel) { Err(self.finished()) } else { Ok(()) }
        })
    }
}

/// An open ingest. If it is dropped, its bytes stay in `partial/` for the next run.
struct Writer {
    directory: Directory,
    descriptor: Descriptor,
    path: PathBuf,
    file: File,
    offset: u64,
    _lock: tokio::sync::OwnedMutexGuard<()>,
}

impl BlobWriter for Writer {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        let file = File::open(&self.path).map_err(|error| self.directory.0.io_error(error))?;
        Ok(Presence::Present(Box::pin(read_range(file, self.offset))))
    }

    fn file(&self) -> Result<Option<File>> {
        File::open(&self.path).map(Some).map_err(|error| self.directory.0.io_error(error))
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.file.write_all(&bytes).map_err(|error| self.directory.0.io_error(error))?;
            self.offset += bytes.len() as u64;
            Ok(())
        })
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.file.set_len(0).map_err(|error| self.directory.0.io_error(error))?;
            self.offset = 0;
            Ok(())
        })
    }

    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let verified = proof.descriptor();
            if verified.digest != self.descriptor.digest || verified.size != self.offset {
                let error =
                    Error::new(ErrorKind::Mismatch, format!("blob {}", self.descriptor.digest));
                return Err(error.with_reason("written bytes differ from verified bytes"));
            }
            let inner = &self.directory.0;
            let content = inner.path("content", self.descriptor.digest.as_str());
            let committed = self.file.sync_all().and_then(|()| fs::rename(&self.path, content));
            committed.map_err(|error| inner.io_error(error))
        })
    }
}
