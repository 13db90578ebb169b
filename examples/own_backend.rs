//! A custom backend: images in a plain directory, for one process at a time.
//!
//! ```text
//! content/<digest>     committed blobs, manifests and indexes
//! partial/<digest>     incomplete blobs, resumed by the next run
//! documents/<digest>   the descriptor of each manifest and index, as JSON
//! names/<name>         the digest that a name points to
//! ```
//!
//! Pulls an image into it, prints what it contains, and pulls again, which transfers nothing:
//!
//! ```sh
//! cargo run --example own_backend -- alpine:3.14 ./images
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use rpull::content::{
    BlobPresence, BlobRequest, BlobStream, BlobWriter, ByteStream, Effort, Endpoint, EndpointKind,
    Lookup, OpenBlob, Opened, Presence, Role, Source, Target, TargetPlan, TargetProperties,
    TargetWriter, missing_content,
};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::document::{DOCUMENT_LIMIT, Document};
use rpull::error::{Error, ErrorKind, Result};
use rpull::name::ImageName;
use rpull::platform::Platform;
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions};
use rpull::transfer::{
    ImageRequest, PlatformRequest, PlatformSelection, TransferOptions, transfer,
};
use rpull::verifier::{Verified, verify};

const BUFFER_SIZE: usize = 256 << 10;

/// Images in a directory. Clones are the same endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    root: PathBuf,
    /// One writer per blob; a second one waits for the first.
    writers: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Directory {
    /// Opens the directory, and creates it if it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if it cannot be created.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let location = format!("directory {}", root.display());
        for part in ["content", "partial", "documents", "names"] {
            fs::create_dir_all(root.join(part)).map_err(|error| io_error(&location, error))?;
        }
        let endpoint = Endpoint { location, kind: EndpointKind::Layout, ..Endpoint::default() };
        Ok(Self(Arc::new(Inner { endpoint, root: root.to_owned(), writers: Mutex::default() })))
    }
}

impl Inner {
    /// Returns a path in the directory. Names and digests may contain `/` and `:`, so special characters are escaped.
    fn path(&self, part: &str, name: &str) -> PathBuf {
        let mut escaped = String::new();
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => escaped.push(byte.into()),
                // Writing to a `String` cannot fail.
                _ => drop(write!(escaped, "%{byte:02x}")),
            }
        }
        self.root.join(part).join(escaped)
    }

    fn io_error(&self, error: io::Error) -> Error {
        io_error(&self.endpoint.location, error)
    }

    /// The bytes of a small file, `None` if it does not exist.
    fn read_small(&self, path: &Path, limit: u64) -> Result<Option<Bytes>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| self.io_error(error))?,
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| self.io_error(error))?;
        if bytes.len() as u64 > limit {
            return Err(Error::new(ErrorKind::InvalidDocument, "content")
                .at(&self.endpoint.location)
                .with_reason("too large"));
        }
        Ok(Some(bytes.into()))
    }

    /// Writes a file so that it is never visible incomplete.
    fn write_small(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let new = path.with_extension("new");
        let written = File::create(&new)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.and_then(|()| fs::rename(&new, path)).map_err(|error| self.io_error(error))
    }

    fn size(&self, part: &str, digest: &Digest) -> Result<Option<u64>> {
        match fs::metadata(self.path(part, digest.as_str())) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io_error(error)),
        }
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.size("content", &descriptor.digest)? == Some(descriptor.size))
    }

    fn named(&self, name: &ImageName) -> Result<Option<Descriptor>> {
        let digest = match name {
            ImageName::Digest(digest) => digest.to_string(),
            ImageName::Tag(_) | ImageName::Layout(_) => {
                match self.read_small(&self.path("names", &name.to_string()), 1024)? {
                    Some(digest) => String::from_utf8_lossy(&digest).into_owned(),
                    None => return Ok(None),
                }
            }
            ImageName::Only => {
                return Err(Error::new(ErrorKind::Unsupported, "image")
                    .at(&self.endpoint.location)
                    .with_reason("needs a name"));
            }
        };
        let Some(json) = self.read_small(&self.path("documents", &digest), DOCUMENT_LIMIT)? else {
            return Ok(None);
        };
        let damaged = |error| {
            Error::new(ErrorKind::Store, "descriptor")
                .at(&self.endpoint.location)
                .with_source(error)
        };
        serde_json::from_slice(&json).map(Some).map_err(damaged)
    }
}

fn io_error(location: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Store, "files").at(location).with_source(error)
}

/// Streams the bytes of a file. Reading a local file is fast, so it happens in the poll.
fn read_range(file: File, length: u64) -> impl futures_util::Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold(file.take(length), |mut file| async move {
        let mut buffer = vec![0; BUFFER_SIZE];
        let read = file.read(&mut buffer).map_err(|error| io_error("file", error))?;
        buffer.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(buffer), file)))
    })
}

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
        Box::pin(async move { Ok(self.0.named(name)?.into()) })
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
            let descriptor = self.0.named(name)?.ok_or_else(not_found)?;
            rpull::content::document(self, &descriptor).await
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
            Ok(BlobStream { start: range.start, stream })
        })
    }
}

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
        _: &'a OpenBlob,
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
            match role {
                Role::Child => self.store(document, &[]),
                Role::Root { names, .. } | Role::Attached { names, .. } => {
                    self.store(document, names)
                }
            }
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

#[tokio::main]
async fn main() -> Result<()> {
    let usage = || {
        Error::new(ErrorKind::InvalidInput, "usage").with_reason("own_backend REFERENCE DIRECTORY")
    };
    let mut arguments = std::env::args().skip(1);
    let (Some(reference), Some(root), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(usage());
    };
    let reference: Reference = reference.parse()?;
    let directory = Directory::open(Path::new(&root))?;
    let client = Client::new(RegistryOptions::default());
    let target: Arc<dyn Target> = Arc::new(directory.clone());
    for run in ["first", "second"] {
        let request = ImageRequest {
            source: Arc::new(client.repository(&reference)?),
            name: reference.name(),
            reference: reference.to_string(),
            target_name: ImageName::Layout(reference.store_name()),
            platforms: PlatformSelection::Single(PlatformRequest::implicit(Platform::host())),
        };
        let mut results = transfer(&[request], &target, TransferOptions::default()).await;
        let result = results.remove(0);
        if let Some(error) = result.error {
            return Err(error);
        }
        let bytes = result.report.bytes;
        writeln!(
            io::stdout(),
            "{run} run: transferred {} bytes, {} shared",
            bytes.transferred,
            bytes.shared
        )
        .map_err(|error| io_error("stdout", error))?;
    }
    let stored = directory.resolve(&ImageName::Layout(reference.store_name())).await?;
    writeln!(io::stdout(), "{}: {}", stored.digest(), stored.blobs().count())
        .map_err(|error| io_error("stdout", error))
}
