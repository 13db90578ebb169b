//! The file behind an archive: a plain tar is read where it is; what is compressed, or comes through a pipe, is first
//! written to a file that has no name and is gone with the process.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use crate::error::{Error, ErrorKind, Matter, Result};
use crate::layer::{Compression, decompress};

/// What is copied at once, in bytes.
const PIECE: usize = 256 << 10;

/// Opens the file, or standard input for `-`, as a plain tar that can be read in any order.
pub(super) fn open(path: &Path, place: &str) -> Result<File> {
    let fail = |error| Error::new(ErrorKind::Store, "read the archive").at(place).caused_by(error);
    let mut file = if path.as_os_str() == "-" {
        io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(fail)?
    } else {
        File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::new(ErrorKind::NotFound, "archive").at(place).because("does not exist")
            }
            _ => fail(error),
        })?
    };
    let found = file.metadata().map_err(fail)?;
    if found.is_dir() {
        return Err(Error::new(ErrorKind::Store, "archive")
            .at(place)
            .because("is a directory; an image layout is oci:PATH"));
    }
    let start = first_bytes(&file).map_err(fail)?;
    let compression = Compression::of(&start).map_err(|name| {
        let why = format!("is compressed with {name}; unpack it with `{name} -d` first");
        Error::new(ErrorKind::Unsupported, "archive").at(place).because(why)
    })?;
    // Standard input may be a file too, and may have been read by somebody else before.
    if compression == Compression::Plain
        && found.is_file()
        && file.stream_position().ok() == Some(start.len() as u64)
    {
        return Ok(file);
    }
    spool(compression, Cursor::new(start).chain(file), place)
}

fn first_bytes(mut file: &File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(Compression::LOOK_AT as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn spool(compression: Compression, bytes: impl Read + Send, place: &str) -> Result<File> {
    let damaged = |error: io::Error| {
        Error::new(ErrorKind::Store, "read the archive").at(place).caused_by(error)
    };
    let folder = std::env::temp_dir();
    let full = |error: io::Error| {
        let full = error.kind() == io::ErrorKind::StorageFull;
        Error::new(ErrorKind::Store, "spool the archive")
            .at(folder.display().to_string())
            .about(full.then_some(Matter::SpoolFull))
            .caused_by(error)
    };
    let mut inside = decompress(compression, bytes).map_err(damaged)?;
    let mut spool = tempfile::tempfile_in(&folder).map_err(full)?;
    let mut piece = vec![0; PIECE];
    loop {
        let read = match inside.read(&mut piece) {
            Ok(0) => return Ok(spool),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        spool.write_all(piece.get(..read).unwrap_or_default()).map_err(full)?;
    }
}
