//! Reads what is to be mirrored.

use std::io::Read as _;
use std::path::Path;

use crate::cli::args::Mirror;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::MirrorFile;

/// Maximum size of a file; larger ones are no lists that people read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Reads the file of the arguments, or the lines of stdin.
pub(super) fn file(args: &Mirror) -> Result<MirrorFile> {
    match args.file.as_deref() {
        Some(path) if path.as_os_str() != "-" => {
            MirrorFile::parse(&text(Some(path))?, &path.display().to_string())
        }
        _ if args.from_stdin => MirrorFile::from_lines(&text(None)?, "stdin"),
        _ => MirrorFile::parse(&text(None)?, "stdin"),
    }
}

fn text(path: Option<&Path>) -> Result<String> {
    let name = path.map_or("stdin".to_owned(), |path| path.display().to_string());
    let invalid = |error: std::io::Error| {
        Error::new(ErrorKind::InvalidInput, "mirror file").at(&name).with_source(error)
    };
    let mut text = String::new();
    let read = match path {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text)),
        None => std::io::stdin().lock().take(MAX_FILE_BYTES).read_to_string(&mut text),
    };
    let bytes = read.map_err(invalid)?;
    if bytes as u64 == MAX_FILE_BYTES {
        return Err(Error::new(ErrorKind::InvalidInput, "mirror file")
            .at(&name)
            .with_reason(format!("larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    Ok(text)
}
