//! A layer of the content of a directory.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::layer_file::{LayerOptions, LayerWriter, NewLayer};
use super::layer_tar::LayerTar;
use crate::blob_file::spool_failed;
use crate::control::{Control, CountedReader, PhaseCounter};
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::resolve::push;
use crate::layer::{Compression, Device, EntryKind, LayerEntry, Timestamp, WHITEOUT};
use crate::progress::Phase;

impl NewLayer {
    /// A layer of the content of a directory, in the order of the names. Everything in it belongs to root; regular files,
    /// directories and symbolic links are taken, without extended attributes. The directory itself is not part of the layer.
    /// Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for other kinds of files and names that would delete files of the image,
    /// [`ErrorKind::NotFound`] without the directory, [`ErrorKind::Store`] if reading or writing fails.
    pub fn from_dir(dir: &Path, options: &LayerOptions, control: &Control) -> Result<Self> {
        build(dir, options, control)
    }
}

fn build(dir: &Path, options: &LayerOptions, control: &Control) -> Result<NewLayer> {
    let prefix = options.prefix_path()?;
    let compression = options.compression.unwrap_or(Compression::Gzip);
    let tar = LayerTar::new(LayerWriter::new(compression)?);
    let counter = PhaseCounter::new(control, Phase::Read, 0);
    let mut builder = DirLayer { tar, clamp_time: options.clamp_time, counter };
    // Directories and files still to write, the next one last.
    let mut waiting = DirLayer::children(dir, &prefix)?;
    while let Some((path, name)) = waiting.pop() {
        builder.counter.add(0)?;
        if builder.add(&path, &name)? {
            waiting.extend(DirLayer::children(&path, &name)?);
        }
    }
    builder.tar.finish().map_err(spool_failed)?.finish()
}

struct DirLayer {
    tar: LayerTar<LayerWriter>,
    clamp_time: Option<Timestamp>,
    counter: PhaseCounter,
}

impl DirLayer {
    /// The files in a directory with their names in the layer, the first name last.
    fn children(dir: &Path, name: &[u8]) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let failed = |error| read_failed(dir, error);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let own = entry.file_name();
            if own.as_bytes().starts_with(WHITEOUT) {
                return Err(refused(&entry.path(), "has the name of a whiteout")
                    .with_hint("append a tar of it if it is to delete a file of the image"));
            }
            let mut name = name.to_vec();
            push(&mut name, own.as_bytes());
            found.push((entry.path(), name));
        }
        found.sort_by(|left, right| right.1.cmp(&left.1));
        Ok(found)
    }

    /// Writes a file. Returns whether it is a directory.
    fn add(&mut self, path: &Path, name: &[u8]) -> Result<bool> {
        let failed = |error| read_failed(path, error);
        let found = std::fs::symlink_metadata(path).map_err(failed)?;
        let kind = found.file_type();
        let entry = self.entry(name, &found);
        if kind.is_symlink() {
            let link = std::fs::read_link(path).map_err(failed)?.as_os_str().as_bytes().to_vec();
            let entry = LayerEntry { kind: EntryKind::Symlink, mode: 0o777, link, ..entry };
            self.tar.entry(entry).map_err(failed)?;
        } else if kind.is_dir() {
            self.tar.entry(LayerEntry { kind: EntryKind::Directory, ..entry }).map_err(failed)?;
        } else if kind.is_file() {
            // The file may have been replaced since it was listed.
            let file = open(path).map_err(failed)?;
            let found = file.metadata().map_err(failed)?;
            let entry = LayerEntry { size: found.len(), ..self.entry(name, &found) };
            self.tar.entry(entry).map_err(failed)?;
            let bytes = CountedReader::new(file, &self.counter);
            self.tar.file(bytes, found.len()).map_err(failed)?;
        } else {
            let reason = "is neither a file nor a directory nor a symbolic link";
            return Err(refused(path, reason));
        }
        Ok(kind.is_dir())
    }

    fn entry(&self, name: &[u8], found: &Metadata) -> LayerEntry {
        // Whole seconds need no PAX record, and are what docker writes.
        let mut mtime = Timestamp { seconds: found.mtime().max(0), nanoseconds: 0 };
        if let Some(latest) = self.clamp_time {
            mtime.seconds = mtime.seconds.min(latest.seconds);
        }
        LayerEntry {
            path: name.to_vec(),
            kind: EntryKind::File,
            mode: found.mode() & 0o7777,
            uid: 0,
            gid: 0,
            mtime,
            size: 0,
            link: Vec::new(),
            device: Device::default(),
            xattrs: Vec::new(),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn read_failed(path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Store,
    };
    match error.downcast::<Error>() {
        Ok(interrupted) => interrupted,
        Err(error) => Error::new(kind, "read").at(path.display().to_string()).with_source(error),
    }
}

fn refused(path: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("file `{}`", path.display())).with_reason(reason)
}
