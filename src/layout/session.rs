//! Upload sessions: blobs whose digest and size are known only at the end, as a server receives them. Each is a file
//! `sessions/<32 hex>`.
//!
//! A session survives its process: its bytes are in the file, and the writer holds a lock on it.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::io::files;
use super::prune::{PARTIAL_AGE, is_older};
use super::{Layout, LayoutInner, blobs, create, ingest, io_error};
use crate::content::ByteStream;
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{self, LockMode};
use crate::verifier::Verified;

/// Lifetime of a session without any bytes.
const EMPTY_LIFETIME: Duration = Duration::from_secs(3600);

/// Id of a session. It permits writing, so it cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

impl SessionId {
    fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        let source = Path::new("/dev/urandom");
        let read = File::open(source).and_then(|file| file.read_exact_at(&mut bytes, 0));
        read.map_err(|error| io_error("read", source, error))?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId")
    }
}

impl FromStr for SessionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(text, 16).ok().filter(|_| hex).map(Self).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("upload session id `{text}`"))
                .with_reason("invalid")
        })
    }
}

/// Result of resuming a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResumeResult {
    /// The session, open for writing.
    Opened(IngestSession),
    /// Another request is writing to it.
    Busy,
    /// It ended, was cancelled, or never existed.
    NotFound,
}

/// An open session. Dropping it keeps its bytes, unless it is set to [`delete_on_drop`](IngestSession::delete_on_drop).
#[derive(Debug)]
pub struct IngestSession {
    inner: Arc<LayoutInner>,
    file: File,
    path: PathBuf,
    offset: u64,
    deletes_on_drop: bool,
}

impl Layout {
    /// Opens a new session. The cost does not depend on the number of sessions.
    pub fn open_session(&self) -> Result<(SessionId, IngestSession)> {
        let private = self.0.options.private;
        let dir = self.sessions()?;
        create::create_dir(&dir, if private { 0o700 } else { 0o777 })?;
        let id = SessionId::random()?;
        let path = dir.join(id.to_string());
        let mode = if private { 0o600 } else { 0o666 };
        let new = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&path);
        let file = new.map_err(|error| io_error("create", &path, error))?;
        lock::try_lock(&file, LockMode::Exclusive, &path)?;
        let inner = Arc::clone(&self.0);
        Ok((id, IngestSession { inner, file, path, offset: 0, deletes_on_drop: false }))
    }

    /// Deletes expired sessions and returns the others.
    pub fn sweep_sessions(&self) -> Result<Vec<SessionId>> {
        let mut found = Vec::new();
        for (path, _) in files(&self.sessions()?)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Ok(id) = name.parse()
                && !self.expire_session(id)?
            {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// Deletes a session if it has expired. Returns whether it no longer exists, for whatever reason.
    pub fn expire_session(&self, id: SessionId) -> Result<bool> {
        let path = self.sessions()?.join(id.to_string());
        match path.symlink_metadata() {
            Ok(found) if is_expired(&found) => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(io_error("remove", &path, error))
                }
                _ => Ok(true),
            },
            Ok(_) => Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(io_error("read", &path, error)),
        }
    }

    /// Resumes a session of this process or an earlier one.
    pub fn resume_session(&self, id: SessionId) -> Result<ResumeResult> {
        let path = self.sessions()?.join(id.to_string());
        if self.expire_session(id)? {
            return Ok(ResumeResult::NotFound);
        }
        let opened = blobs::open_regular_with(&path, OpenOptions::new().read(true).write(true));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(ResumeResult::NotFound);
            }
            Err(error) => return Err(io_error("open", &path, error)),
        };
        if !lock::try_lock(&file, LockMode::Exclusive, &path)? {
            return Ok(ResumeResult::Busy);
        }
        if !ingest::is_same_file(&file, &path).map_err(|error| io_error("read", &path, error))? {
            return Ok(ResumeResult::NotFound);
        }
        let offset = file.metadata().map_err(|error| io_error("read", &path, error))?.len();
        let inner = Arc::clone(&self.0);
        Ok(ResumeResult::Opened(IngestSession {
            inner,
            file,
            path,
            offset,
            deletes_on_drop: false,
        }))
    }

    /// Number of bytes of a session, also while it is written; `None` if it does not exist.
    pub fn session_offset(&self, id: SessionId) -> Result<Option<u64>> {
        if self.expire_session(id)? {
            return Ok(None);
        }
        blobs::length(&self.sessions()?.join(id.to_string()))
    }

    /// Refuses symbolic links: bytes of a client must not be written outside the layout.
    fn sessions(&self) -> Result<PathBuf> {
        let dir = self.root().join("sessions");
        if dir.is_symlink() {
            return Err(io_error("open", &dir, std::io::Error::other("is a symbolic link")));
        }
        Ok(dir)
    }
}

/// Whether it has expired. A session without bytes has a shorter lifetime: there is nothing to resume.
fn is_expired(found: &Metadata) -> bool {
    let lifetime = if found.len() == 0 { EMPTY_LIFETIME } else { PARTIAL_AGE };
    found.is_file() && is_older(found, lifetime)
}

impl IngestSession {
    /// Deletes the session when it is dropped: its id was never handed out, so it cannot be resumed.
    #[must_use]
    pub fn delete_on_drop(mut self) -> Self {
        self.deletes_on_drop = true;
        self
    }

    /// Number of bytes received.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends bytes. They survive the end of the process.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(bytes, self.offset)
            .map_err(|error| io_error("write", &self.path, error))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Reads all received bytes.
    pub fn read(&self) -> Result<ByteStream<'static>> {
        let file = self.file.try_clone().map_err(|error| io_error("read", &self.path, error))?;
        Ok(blobs::stream(file, self.path.clone(), 0..self.offset))
    }

    /// Makes the blob visible under its digest; `proof` shows that the bytes were verified.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] if the verified bytes are not the written ones.
    pub fn commit(self, proof: &Verified) -> Result<()> {
        let length =
            self.file.metadata().map_err(|error| io_error("read", &self.path, error))?.len();
        if length != proof.descriptor().size {
            let reason = "internal error: written bytes differ from verified bytes";
            return Err(Error::new(ErrorKind::Mismatch, "upload").with_reason(reason));
        }
        ingest::publish(&self.inner, &self.file, &self.path, proof)
    }

    /// Deletes the session.
    pub fn cancel(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|error| io_error("remove", &self.path, error))
    }
}

impl Drop for IngestSession {
    fn drop(&mut self) {
        if self.deletes_on_drop && ingest::is_same_file(&self.file, &self.path).unwrap_or(false) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, Digest};
    use crate::layout::LayoutOptions;
    use crate::verifier::DeferredVerifier;

    fn layout(dir: &tempfile::TempDir) -> Layout {
        Layout::create(&dir.path().join("store"), LayoutOptions::default()).unwrap()
    }

    fn open(layout: &Layout, id: SessionId) -> IngestSession {
        match layout.resume_session(id).unwrap() {
            ResumeResult::Opened(session) => session,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn upload_session_resumes_in_another_layout_handle() {
        let dir = tempfile::tempdir().unwrap();
        let (id, mut session) = layout(&dir).open_session().unwrap();
        session.write(b"ab").unwrap();
        drop(session);
        let again = layout(&dir);
        assert_eq!(again.session_offset(id).unwrap(), Some(2));
        let mut session = open(&again, id);
        assert!(matches!(again.resume_session(id).unwrap(), ResumeResult::Busy));
        session.write(b"c").unwrap();
        let mut unnamed = DeferredVerifier::new(Algorithm::Sha256);
        unnamed.update(b"abc");
        let digest = Digest::sha256(b"abc");
        session.commit(&unnamed.finish(&digest).unwrap()).unwrap();
        assert_eq!(again.stat_blob(&digest).unwrap().size, 3);
        assert!(matches!(again.resume_session(id).unwrap(), ResumeResult::NotFound));
    }

    #[test]
    fn upload_session_commit_requires_proof_of_all_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(&dir);
        let (_, mut session) = layout.open_session().unwrap();
        session.write(b"abc").unwrap();
        let mut unnamed = DeferredVerifier::new(Algorithm::Sha256);
        unnamed.update(b"ab");
        assert!(session.commit(&unnamed.finish(&Digest::sha256(b"ab")).unwrap()).is_err());
    }

    #[test]
    fn session_id_malformed_is_rejected() {
        let id = SessionId::random().unwrap();
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
        for bad in ["", "1", "../../index.json", &"A".repeat(32), &format!("+{}", "1".repeat(31))] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
