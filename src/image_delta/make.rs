//! Deltas of the layers that an image does not share with another.

use std::io;

use super::choose::pays;
use crate::blob_file::BlobFile;
use crate::delta::{self, Delta, MakeOptions, NewLayer, TarFile};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::image_layers::LayerBlob;
use crate::size::size;

/// A layer, and its delta if it has one.
#[derive(Debug)]
#[non_exhaustive]
pub struct LayerDelta {
    /// The layer that it makes.
    pub layer: Descriptor,
    /// The delta, or why the layer is sent whole.
    pub delta: Result<Delta, String>,
}

/// Makes deltas of new layers, each with its descriptor, from any of the old layers. Blocks. Needs as much disk as the old layers and
/// the largest new one are long when decompressed.
///
/// # Errors
/// [`ErrorKind::Interrupted`], those of reading new layers, and [`ErrorKind::Store`] if the disk is full. A layer that cannot be rebuilt has
/// the reason in its result.
pub fn make_deltas(
    old: Vec<LayerBlob<'_>>,
    new: Vec<(Descriptor, LayerBlob<'_>)>,
    options: &MakeOptions,
) -> Result<Vec<LayerDelta>> {
    let mut tars: Vec<TarFile> = Vec::new();
    for layer in old {
        if tars.iter().any(|tar| *tar.diff_id() == layer.diff_id) {
            continue;
        }
        let name = layer.name.clone();
        match decompress(layer, options) {
            Ok(tar) => tars.push(tar),
            Err(error) if is_disk_full(&error) => {
                return Err(error.at(options.dir.display().to_string()));
            }
            Err(error) => {
                options.control.check("make delta")?;
                tracing::warn!("{name}: not used, {}", error.chain());
            }
        }
    }
    new.into_iter().map(|(layer, blob)| one(&tars, layer, blob, options)).collect()
}

fn one(
    old: &[TarFile],
    layer: Descriptor,
    blob: LayerBlob<'_>,
    options: &MakeOptions,
) -> Result<LayerDelta> {
    let diff_id = blob.diff_id.clone();
    let blob = spool(blob, options)?;
    let open = || blob.read(0..blob.size);
    let made = TarFile::decompress(open(), &diff_id, u64::MAX, &options.dir, &options.control)
        .and_then(|tar| delta::make(old, NewLayer::new(&layer, &tar), || Ok(open()), options));
    let delta = match made {
        Ok(delta) if pays(delta.size(), layer.size) => Ok(delta),
        Ok(delta) => Err(format!("the delta would have {}", size(delta.size()))),
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
        Err(error) if is_disk_full(&error) => {
            return Err(error.at(options.dir.display().to_string()));
        }
        Err(error) if error.reason().is_empty() => Err(error.chain()),
        Err(error) => Err(error.reason().to_owned()),
    };
    Ok(LayerDelta { layer, delta })
}

/// Whether there is no room for temporary files, which says nothing of the layer.
fn is_disk_full(error: &Error) -> bool {
    error.detail() == Some(ErrorDetail::SpoolDiskFull)
}

/// Reads a layer into a temporary file: it is read twice.
fn spool(blob: LayerBlob<'_>, options: &MakeOptions) -> Result<BlobFile> {
    let name = blob.name;
    let failed = |error: io::Error| {
        let source = error.downcast::<Error>();
        source.unwrap_or_else(|error| Error::new(ErrorKind::Store, &name).with_source(error))
    };
    let mut reader = (blob.open)(&options.control.cancel).map_err(failed)?;
    let blob = BlobFile::spool_in(&options.dir, &mut reader, failed)?;
    options.control.check("make delta")?;
    Ok(blob)
}

fn decompress(layer: LayerBlob<'_>, options: &MakeOptions) -> Result<TarFile> {
    let LayerBlob { name, diff_id, open, .. } = layer;
    let failed = |error| Error::new(ErrorKind::Store, name).with_source(error);
    let reader = open(&options.control.cancel).map_err(failed)?;
    TarFile::decompress(reader, &diff_id, u64::MAX, &options.dir, &options.control)
}
