//! Makes the record of a gzip blob, and rebuilds the blob from the record and its uncompressed bytes:
//! `cargo run --release --example rebuild -- record BLOB RECORD`, then `… replay RECORD TAR BLOB`

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;

use rpull::rebuild::{self, Record};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["record", blob, record] => {
            let record = make(blob.as_ref(), record.as_ref())?;
            let out = &mut std::io::stdout();
            Ok(writeln!(out, "{} corrections, {}", record.corrections(), record.encoder())?)
        }
        ["replay", record, tar, blob] => replay(record.as_ref(), tar.as_ref(), blob.as_ref()),
        _ => Err("rebuild record BLOB RECORD | rebuild replay RECORD TAR BLOB".into()),
    }
}

pub(crate) fn make(blob: &Path, path: &Path) -> Result<Record, Box<dyn Error>> {
    let record = rebuild::record(BufReader::new(File::open(blob)?))?;
    fs::write(path, record.as_bytes())?;
    Ok(record)
}

/// Callers that did not make the record themselves verify the digest of the blob.
pub(crate) fn replay(record: &Path, tar: &Path, blob: &Path) -> Result<(), Box<dyn Error>> {
    let record = Record::from_bytes(fs::read(record)?)?;
    let tar = BufReader::new(File::open(tar)?);
    rebuild::replay(tar, &record, BufWriter::new(File::create(blob)?))?.flush()?;
    Ok(())
}
