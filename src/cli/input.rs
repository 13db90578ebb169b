//! Files that commands read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Opens a file, or stdin if the path is `-`.
pub(super) fn open_input(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path)?))
}
