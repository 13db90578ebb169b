//! Layer blobs as they are stored or arrive: inflated and hashed in one pass, held against their `diff_id`s.

use std::fmt;
use std::io::{self, Read};

use super::failed;
use super::inflate::{Inflated, connect};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{DiffId, Entries, Inflation, Limits};

/// A layer that is to be read.
pub struct LayerBlob<'a> {
    /// What errors call it.
    pub name: String,
    /// The digest that it must have when it is uncompressed.
    pub diff_id: Digest,
    /// Opens the blob, whatever it is compressed with. Runs on another thread, before the layers below are read.
    pub open: Box<dyn FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'a>,
}

impl fmt::Debug for LayerBlob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerBlob").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The entries of a layer that is inflated on another thread.
pub(crate) type BlobEntries<'a> = Entries<DiffId<&'a mut Inflated>>;

/// Hands the entries of each layer to `take`, base first, with what errors call it, and gives the uncompressed size of
/// each. `watch` hears of compressed bytes as they are read and tells whether to go on.
///
/// What `take` did not read counts too, but nothing that it read can be trusted before this succeeded.
///
/// # Errors
/// With the number of the layer: what `take` says, [`ErrorKind::Mismatch`] for another `diff_id`,
/// [`ErrorKind::Unsupported`] for a compression that is not read, [`ErrorKind::Interrupted`], else
/// [`ErrorKind::Unpack`], or what the blob's reader says.
pub(crate) fn read_all(
    all: &Inflation,
    layers: Vec<LayerBlob<'_>>,
    watch: &(dyn Fn(u64) -> bool + Sync),
    mut take: impl FnMut(&str, &mut BlobEntries<'_>) -> Result<()>,
) -> Result<Vec<u64>, (usize, Error)> {
    let expected: Vec<_> =
        layers.iter().map(|layer| (layer.name.clone(), layer.diff_id.clone())).collect();
    std::thread::scope(|scope| {
        // Made in here: where a layer fails, the thread must hear of it before it is waited for.
        let (inflater, mut bytes) = connect(watch);
        scope.spawn(move || inflater.run(all, layers));
        let mut sizes = Vec::new();
        for (number, (name, diff_id)) in expected.iter().enumerate() {
            bytes.next_layer();
            let size = read_one(name, diff_id, &mut bytes, &mut take);
            sizes.push(size.map_err(|error| (number, error))?);
        }
        Ok(sizes)
    })
}

fn read_one(
    name: &str,
    diff_id: &Digest,
    bytes: &mut Inflated,
    mut take: impl FnMut(&str, &mut BlobEntries<'_>) -> Result<()>,
) -> Result<u64> {
    let hashed = DiffId::with(diff_id.algorithm()?, bytes);
    let mut entries = Entries::new(hashed, Limits::default());
    take(name, &mut entries)?;
    let hashed = entries.drain().map_err(|error| failed(name, "", error))?;
    let (size, found) = (hashed.seen(), hashed.finish());
    if found == *diff_id {
        return Ok(size);
    }
    let why = format!("uncompressed it has digest {found}, the config says {diff_id}");
    Err(Error::new(ErrorKind::Mismatch, name).because(why))
}
