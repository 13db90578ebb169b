//! Files under digests: the one place where a digest becomes a path.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream;
use rustix::fs::OFlags;
use rustix::io::{Errno, pread, retry_on_intr};

use super::io_error;
use crate::content::{ByteStream, over_limit};
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::limits::BUFFER_SIZE;

/// `blobs/sha256/<hex>`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for algorithms that cannot be verified.
pub(super) fn blob_path(root: &Path, digest: &Digest) -> Result<PathBuf> {
    digest.algorithm()?;
    Ok(root.join("blobs").join(digest.algorithm_name()).join(digest.encoded()))
}

/// `ingest/sha256-<hex>`.
pub(super) fn partial_path(root: &Path, digest: &Digest) -> Result<PathBuf> {
    digest.algorithm()?;
    Ok(root.join("ingest").join(format!("{}-{}", digest.algorithm_name(), digest.encoded())))
}

/// Opens a regular file for reading. Symbolic links and pipes are refused: a link leads elsewhere, a pipe can block
/// forever.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    open_regular_with(path, OpenOptions::new().read(true))
}

/// Like [`open_regular`], but follows a link that stays in the layout, as in layouts that build systems write.
/// The caller verifies the bytes.
pub(super) fn open_inside(root: &Path, name: &str) -> Result<io::Result<File>> {
    let path = root.join(name);
    let opened = open_regular(&path);
    if !matches!(&opened, Err(error) if is_link(error)) {
        return Ok(opened);
    }
    let leads_to = |path: &Path| path.canonicalize().map_err(|error| io_error("open", path, error));
    let (inside, file) = (leads_to(root)?, leads_to(&path)?);
    if file.starts_with(inside) {
        return Ok(open_regular(&file));
    }
    Err(Error::new(ErrorKind::Store, "layout")
        .at(path.display().to_string())
        .with_reason("is a symbolic link that points outside the layout")
        .with_detail(ErrorDetail::LinkOutOfLayout))
}

/// Whether opening failed because the path is a symbolic link.
fn is_link(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Like [`open_regular`], with these options.
pub(super) fn open_regular_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    open_flagged(path, options, OFlags::NOFOLLOW)
}

fn open_flagged(path: &Path, options: &mut OpenOptions, more: OFlags) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | more;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = options.custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("is not a regular file"))
    }
}

/// `ingest/sha256-<hex>.<size>`: for a blob of which more bytes were received than its size allows.
pub(super) fn partial_path_of_size(root: &Path, digest: &Digest, size: u64) -> Result<PathBuf> {
    Ok(partial_path(root, digest)?.with_extension(size.to_string()))
}

/// Whether a file of another tool exists under a digest that rpull cannot verify.
pub(super) fn exists_unverifiable(root: &Path, digest: &Digest) -> bool {
    root.join("blobs").join(digest.algorithm_name()).join(digest.encoded()).exists()
}

/// Size of the blob, `None` if it is missing.
pub(super) fn blob_size(root: &Path, digest: &Digest) -> Result<Option<u64>> {
    length(&blob_path(root, digest)?)
}

pub(super) fn length(path: &Path) -> Result<Option<u64>> {
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(_) => Err(io_error("open", path, io::Error::other("is not a regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("open", path, error)),
    }
}

/// Opens a blob that the caller verifies. It may be a link to a file elsewhere.
///
/// # Errors
/// [`ErrorKind::NotFound`] if it is missing.
pub(super) fn open(root: &Path, digest: &Digest) -> Result<File> {
    open_blob(root, digest, OFlags::empty())
}

/// Opens a blob that is not a link, so that unverified bytes come from this layout.
pub(super) fn open_own(root: &Path, digest: &Digest) -> Result<File> {
    open_blob(root, digest, OFlags::NOFOLLOW)
}

fn open_blob(root: &Path, digest: &Digest, flags: OFlags) -> Result<File> {
    let path = blob_path(root, digest)?;
    let not_found = |reason: &str| {
        Error::new(ErrorKind::NotFound, format!("blob {digest}"))
            .at(root.display().to_string())
            .with_reason(reason)
    };
    open_flagged(&path, OpenOptions::new().read(true), flags).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => not_found("is a dangling symbolic link"),
        io::ErrorKind::NotFound => not_found("not in the store"),
        _ if is_link(&error) && flags.contains(OFlags::NOFOLLOW) => {
            io_error("open", &path, io::Error::other("is a symbolic link"))
        }
        _ => io_error("open", &path, error),
    })
}

/// All bytes of a small blob, not verified.
///
/// # Errors
/// [`ErrorKind::InvalidDocument`] if it has more than `limit` bytes.
pub(super) fn read(root: &Path, digest: &Digest, limit: u64) -> Result<Bytes> {
    let file = open(root, digest)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| io_error("read", root, error))?;
    if bytes.len() as u64 > limit {
        return Err(over_limit(digest, limit).at(root.display().to_string()));
    }
    Ok(bytes.into())
}

/// Streams a range of a file in buffers of at most [`BUFFER_SIZE`] bytes. Ends early if the file does.
pub(super) fn stream(file: File, path: PathBuf, range: Range<u64>) -> ByteStream<'static> {
    Box::pin(stream::try_unfold((file, path, range), |(file, path, mut range)| async move {
        // Reading a file never yields by itself; other tasks would wait.
        tokio::task::consume_budget().await;
        let buffer = read_at(&file, &range).map_err(|error| io_error("read", &path, error))?;
        range.start += buffer.len() as u64;
        Ok((!buffer.is_empty()).then_some((buffer, (file, path, range))))
    }))
}

/// The first bytes of a range of a file, at most [`BUFFER_SIZE`].
pub(super) fn read_at(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let left = range.end.saturating_sub(range.start);
    let mut buffer = vec![0; usize::try_from(left).unwrap_or(BUFFER_SIZE).min(BUFFER_SIZE)];
    let read = retry_on_intr(|| pread(file, &mut buffer[..], range.start))?;
    buffer.truncate(read);
    Ok(buffer.into())
}
