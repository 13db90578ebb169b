//! The files of a docker archive that are layers. Each is looked into once, however many images list it.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::piece::{Piece, Reading, count};
use super::tarball::{Lack, Tarball};
use super::unusable;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Compression, Inflation, decompress_among, is_unsupported};

/// Bytes of one layer that are decompressed to learn how many there are.
const LIMIT: u64 = 1 << 40;

/// Files that are layers, by where they begin.
#[derive(Debug, Default)]
pub(super) struct Layers {
    known: Mutex<HashMap<u64, Known>>,
    /// Of all of them: what a hostile archive costs must not grow with the number of its layers.
    inflation: Inflation,
}

#[derive(Debug)]
struct Known {
    piece: Piece,
    diff_id: Digest,
}

impl Layers {
    /// The layer in the file of this name, which is decompressed to learn its size where it is compressed there.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] where the file was another layer before: it cannot have two digests.
    pub(super) fn piece(
        &self,
        tar: &Arc<Tarball>,
        name: &str,
        diff_id: &Digest,
        stop: &CancellationToken,
    ) -> Result<Piece> {
        diff_id.algorithm()?;
        let span = tar.find(name).map_err(|lack| lacks(name, lack))?;
        // Held while a layer is read: whoever wants the same one waits for it.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&span.start) {
            let other = &known.diff_id;
            if other != diff_id && other.algorithm_name() == diff_id.algorithm_name() {
                let why = format!("cannot be {other} and {diff_id}");
                let what = format!("`{name}` of the archive");
                return Err(Error::new(ErrorKind::Mismatch, what).because(why));
            }
            return Ok(known.piece.clone());
        }
        let at = span.start;
        let piece = self.look_into(tar, name, span, stop)?;
        known.insert(at, Known { piece: piece.clone(), diff_id: diff_id.clone() });
        Ok(piece)
    }

    fn look_into(
        &self,
        tar: &Arc<Tarball>,
        name: &str,
        span: Range<u64>,
        stop: &CancellationToken,
    ) -> Result<Piece> {
        let fail = |error: io::Error| {
            if is_unsupported(&error) {
                let why = format!("layer `{name}` {error}");
                return Error::new(ErrorKind::Unsupported, "archive").because(why);
            }
            unusable(name, "cannot be read").caused_by(error)
        };
        let mut start = vec![0; Compression::LOOK_AT];
        let length = span.end - span.start;
        let read = tar.read_at(&mut start, span.start).map_err(fail)?;
        start.truncate(read.min(usize::try_from(length).unwrap_or(usize::MAX)));
        let compression = Compression::of(&start).map_err(|unread| {
            let why = format!("layer `{name}` {unread}");
            Error::new(ErrorKind::Unsupported, "archive").because(why)
        })?;
        if compression == Compression::Plain {
            return Ok(Piece::plain(span));
        }
        let reading = Reading::new(Arc::clone(tar), span.clone());
        let inside = decompress_among(&self.inflation, compression, reading).map_err(fail)?;
        let size = count(inside.take(LIMIT + 1), stop).map_err(fail)?;
        if size > LIMIT {
            let why = format!("has more than {LIMIT} bytes inside");
            return Err(unusable(name, &why));
        }
        Ok(Piece { span, compression, size })
    }
}

/// The error for a file that cannot be had.
pub(super) fn lacks(name: &str, lack: Lack) -> Error {
    match lack {
        Lack::Missing => unusable(name, "is missing"),
        Lack::Unusable(why) => unusable(name, why),
    }
}
