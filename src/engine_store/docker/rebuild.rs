//! Rebuilds the tar of a layer from its headers and its files, as `docker save` does.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::OFlags;

use super::tar_split::{Part, TarSplit};
use crate::beneath::open_in_root;
use crate::engine_store::directory::link_refused;
use crate::escape::escape;

/// The bytes of a layer's tar. They have the layer's `diff_id` unless the engine's directory was changed.
pub(super) struct LayerTar {
    split: TarSplit,
    /// The directory with the files of the layer.
    diff: OwnedFd,
    current: Current,
}

/// What is left of the current part.
enum Current {
    Bytes(Cursor<Vec<u8>>),
    File { file: File, name: Vec<u8>, left: u64 },
}

impl LayerTar {
    /// Begins at byte `start` of the tar. Files before it are not read.
    pub(super) fn open(split: TarSplit, diff: OwnedFd, start: u64) -> io::Result<Self> {
        let mut tar = Self { split, diff, current: Current::Bytes(Cursor::default()) };
        let mut skip = start;
        while let Some(part) = tar.split.next_part()? {
            if part.size() > skip {
                tar.current = tar.begin(part, skip)?;
                break;
            }
            skip -= part.size();
        }
        Ok(tar)
    }

    fn begin(&self, part: Part, skip: u64) -> io::Result<Current> {
        match part {
            Part::Bytes(bytes) => {
                let mut bytes = Cursor::new(bytes);
                bytes.set_position(skip);
                Ok(Current::Bytes(bytes))
            }
            Part::File { name, size } => {
                let mut file = self.file(&name).map_err(|error| about(&name, &error))?;
                file.seek(SeekFrom::Start(skip))?;
                Ok(Current::File { file, name, left: size - skip })
            }
        }
    }

    /// Opens a file of the layer. Docker unpacked it in a chroot, so links of its directories lead nowhere else.
    fn file(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = File::from(open_in_root(self.diff.as_fd(), name, flags).map_err(link_refused)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        Ok(file)
    }
}

impl Read for LayerTar {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.current {
                Current::Bytes(bytes) => bytes.read(into)?,
                Current::File { left: 0, .. } => 0,
                Current::File { file, name, left } => {
                    let read = file.take(*left).read(into).map_err(|error| about(name, &error))?;
                    if read == 0 && !into.is_empty() {
                        return Err(about(
                            name,
                            &io::Error::other("is shorter than docker recorded"),
                        ));
                    }
                    *left -= read as u64;
                    read
                }
            };
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(part) = self.split.next_part()? else { return Ok(0) };
            self.current = self.begin(part, 0)?;
        }
    }
}

fn about(name: &[u8], error: &io::Error) -> io::Error {
    let name = String::from_utf8_lossy(name);
    io::Error::new(error.kind(), format!("file `{}` of the layer: {error}", escape(&name)))
}
