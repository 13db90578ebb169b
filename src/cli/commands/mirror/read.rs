//! Reads what is to be mirrored.

use std::io::Read as _;
use std::path::Path;

use crate::cli::args::Mirror;
use crate::cli::input::open_input;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::{MirrorFile, Outside, ReadOptions};

/// Maximum size of a file; larger ones are no lists that people read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Reads the file of the arguments, or the lines of stdin.
pub(super) fn file(args: &Mirror) -> Result<MirrorFile> {
    let path = args.file.as_deref().unwrap_or(Path::new("-"));
    let is_stdin = path.as_os_str() == "-";
    let name = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let text = text(path).map_err(|error| error.at(&name))?;
    if args.from_stdin {
        MirrorFile::from_lines(&text, &name)
    } else {
        let options = ReadOptions {
            from: args.from,
            to: args.to.as_deref(),
            scoped: args.scoped,
            outside: &look_up,
        };
        MirrorFile::read(&text, &name, &options)
    }
}

fn look_up(outside: Outside<'_>) -> std::result::Result<String, String> {
    match outside {
        Outside::Env(name) => std::env::var(name).map_err(|error| format!("`{name}`: {error}")),
        Outside::File(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("`{path}`: {error}"))
        }
    }
}

fn text(path: &Path) -> Result<String> {
    let invalid = || Error::new(ErrorKind::InvalidInput, "mirror file");
    let mut bytes = Vec::new();
    let read =
        open_input(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| invalid().with_source(error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let reason = format!("larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(invalid().with_reason(reason));
    }
    String::from_utf8(bytes).map_err(|error| invalid().with_source(error))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek as _, SeekFrom, Write as _};

    use super::*;

    #[test]
    fn mirror_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.yaml");
        let mut file = File::create(&path).unwrap();
        file.set_len(MAX_FILE_BYTES).unwrap();
        assert_eq!(text(&path).unwrap().len() as u64, MAX_FILE_BYTES);
        // The limit is within a character.
        file.seek(SeekFrom::Start(MAX_FILE_BYTES - 1)).unwrap();
        file.write_all("é".as_bytes()).unwrap();
        assert_eq!(text(&path).unwrap_err().reason(), "larger than 64 MiB");
    }
}
