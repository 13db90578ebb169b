//! Rebuilds a gzip blob bit for bit from its uncompressed bytes and a small record of what its encoder did. The layers that rpull
//! itself compresses are written by one of the models, so that their records are small too.
//!
//! A record is made once, on a machine that has the blob. It holds the gzip headers, where each block ends, the code lengths of
//! each block, and the places where the encoder chose another match than a model of it predicts: mostly below 1 % of the
//! blob for encoders with a model, 5 to 20 % for others. With the record, any machine that has the same uncompressed bytes can
//! rebuild the blob.
//!
//! ```
//! use std::io::Read as _;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let blob = { let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()); std::io::Write::write_all(&mut e, &[7; 9999])?; e.finish()? };
//! let record = rpull::rebuild::record(&blob[..])?;
//! println!("{}, {} of {} bytes", record.encoder(), record.as_bytes().len(), blob.len());
//!
//! let mut tar = Vec::new();
//! flate2::read::MultiGzDecoder::new(&blob[..]).read_to_end(&mut tar)?;
//! let rebuilt = rpull::rebuild::replay(&tar[..], &record, Vec::new())?;
//! assert_eq!(rebuilt, blob);
//! # Ok(())
//! # }
//! ```
//!
//! # Cost
//!
//! Both directions are streams. Replaying holds less than 2 MiB, making a record less than 4 MiB and, at its end, the record
//! twice. On one core, in a release build, replaying takes a second for about 105 MB of tar (level 1 of Go and klauspost's
//! library), 65 MB (their levels 5 and 6), 36 MB (Go before 1.27 at level 6) or 19 MB (zlib); level 9 of the latter two takes
//! three times as long. A record takes as long to make as to replay, or a little longer. [`replay_with()`] uses several threads for blobs of
//! pgzip: the calling one can then write 400 MB of tar per second.
//!
//! # Trust
//!
//! Neither side trusts the other. Callers must verify what [`replay()`] writes against the digest of the blob, and should do so
//! once when they make a record: a blob that is rebuilt there is rebuilt everywhere. A hostile record can
//! make [`replay()`] fail or write other bytes, but no more of them than [`Record::blob_size`], and read no more than
//! [`Record::tar_size`]: compare both with the expected sizes first.

mod bits;
mod blocks;
mod codes;
mod compress;
mod corrections;
mod encoder;
mod fault;
mod features;
mod headers;
mod huffman;
mod input;
mod make;
mod model;
mod parse;
mod pieces;
mod plain;
mod predictor;
mod probe;
mod record;
mod replay;
mod smallest_block;
mod start;
mod streams;
mod tokens;
mod workers;

use std::io::{Read, Write};

pub(crate) use self::compress::GzipWriter;
pub use self::encoder::{Encoder, Family};
pub use self::features::Features;
use self::pieces::Pieces;
pub use self::probe::{Fit, fit, identify};
pub use self::record::{MAX_RECORD_BYTES, Record};
use self::replay::Player;
use self::start::Started;
use crate::error::Result;

/// The encoder is chosen by this many bytes of a blob, which hold a whole piece of a parallel encoder.
const PROBED_BYTES: usize = (1 << 20) + (64 << 10);

/// Makes the record of a gzip blob, with the model that fits its first part best.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the blob is not gzip, damaged, or written in a way that no
/// known encoder uses, such as bytes after its end, or if the record would have more than [`MAX_RECORD_BYTES`];
/// [`ErrorKind::Store`](crate::ErrorKind::Store) if it cannot be read.
pub fn record(gzip: impl Read) -> Result<Record> {
    let blob = Started::new(gzip, PROBED_BYTES).map_err(fault::read_error)?;
    let encoder = identify(blob.start());
    record_with(blob, encoder)
}

/// Makes the record of a gzip blob with the model of this encoder.
///
/// Any model gives a record that works; the worse it fits, the larger the record.
///
/// # Errors
/// Those of [`record()`].
pub fn record_with(gzip: impl Read, encoder: Encoder) -> Result<Record> {
    make::Maker::new(gzip, encoder)?.run()
}

/// Writes the blob of the record, given its uncompressed bytes; returns the writer, which is not flushed.
///
/// The caller verifies the digest of what was written.
///
/// # Errors
/// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) if the record contradicts itself,
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) if it belongs to other bytes,
/// [`ErrorKind::Store`](crate::ErrorKind::Store) if reading or writing fails.
pub fn replay<W: Write>(tar: impl Read, record: &Record, blob: W) -> Result<W> {
    Player::new(tar, record, blob)?.run(None)
}

/// As [`replay()`], with this many further threads where the encoder compressed independent pieces, as pgzip does.
///
/// Each thread adds the size of a piece and its matches, about 3 MiB for pieces of 1 MiB. Pieces of more than 1 MiB, and
/// records with corrections, are replayed by the calling thread alone, and so is any record with fewer than two threads.
///
/// # Errors
/// Those of [`replay()`].
pub fn replay_with<W: Write>(
    tar: impl Read,
    record: &Record,
    blob: W,
    threads: usize,
) -> Result<W> {
    let mut pieces = Pieces::start(record, threads);
    Player::new(tar, record, blob)?.run(pieces.as_mut())
}
