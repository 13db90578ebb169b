//! The files of the backend, and what is in them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use rpull::content::{Endpoint, EndpointKind};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::document::DOCUMENT_LIMIT;
use rpull::error::{Error, ErrorKind, Result};
use rpull::name::ImageName;

const BUFFER_SIZE: usize = 256 << 10;

/// Images in a directory. Clones are the same endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Directory(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    root: PathBuf,
    /// One writer per blob; a second one waits for the first.
    pub(super) writers: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
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
        let endpoint = Endpoint::new(location).kind(EndpointKind::Layout);
        Ok(Self(Arc::new(Inner { endpoint, root: root.to_owned(), writers: Mutex::default() })))
    }
}

impl Inner {
    /// Returns a path in the directory. Names and digests may contain `/` and `:`, so special characters are escaped.
    pub(super) fn path(&self, part: &str, name: &str) -> PathBuf {
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

    pub(super) fn io_error(&self, error: io::Error) -> Error {
        io_error(&self.endpoint.location, error)
    }

    /// Returns the content of a small file; `None` if it does not exist.
    pub(super) fn read_small(&self, path: &Path, limit: u64) -> Result<Option<Bytes>> {
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
    pub(super) fn write_small(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let new = path.with_extension("new");
        let written = File::create(&new)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.and_then(|()| fs::rename(&new, path)).map_err(|error| self.io_error(error))
    }

    pub(super) fn size(&self, part: &str, digest: &Digest) -> Result<Option<u64>> {
        match fs::metadata(self.path(part, digest.as_str())) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io_error(error)),
        }
    }

    pub(super) fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.size("content", &descriptor.digest)? == Some(descriptor.size))
    }

    pub(super) fn find(&self, name: &ImageName) -> Result<Option<Descriptor>> {
        let digest = match name {
            ImageName::Digest(digest) => digest.to_string(),
            ImageName::Tag(_) | ImageName::Layout(_) => {
                match self.read_small(&self.path("names", &name.to_string()), 1024)? {
                    Some(digest) => String::from_utf8_lossy(&digest).into_owned(),
                    None => return Ok(None),
                }
            }
            _ => {
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

pub(super) fn io_error(location: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Store, "files").at(location).with_source(error)
}

/// Streams the bytes of a file. Reading a local file is fast, so it happens in the poll.
pub(super) fn read_range(
    file: File,
    length: u64,
) -> impl futures_util::Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold(file.take(length), |mut file| async move {
        let mut buffer = vec![0; BUFFER_SIZE];
        let read = file.read(&mut buffer).map_err(|error| io_error("file", error))?;
        buffer.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(buffer), file)))
    })
}
