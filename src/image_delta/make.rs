//! Deltas of the layers that an image does not share with another.

use std::fmt;
use std::io;

use crate::blob_file::{BlobFile, BlobFileWriter};
use crate::delta::{self, Delta, MakeOptions, NewLayer, TarFile};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::LayerBlob;

use super::choose::pays;

/// The delta of a layer, or why it is sent whole.
#[derive(Debug)]
#[non_exhaustive]
pub struct LayerDelta {
    /// The layer that it makes.
    pub layer: Descriptor,
    /// The delta, if it is small enough.
    pub delta: Option<Delta>,
    /// Why it has none.
    pub whole: Option<String>,
}

/// Makes deltas of new layers, each with its descriptor, from any of the old layers. Blocks. Needs as much disk as the old layers and
/// the largest new one are long when decompressed.
///
/// # Errors
/// [`ErrorKind::Interrupted`], and those of reading new layers. A layer that cannot be rebuilt has the reason in its result.
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
    let whole = |layer, why: &dyn fmt::Display| LayerDelta {
        layer,
        delta: None,
        whole: Some(why.to_string()),
    };
    let diff_id = blob.diff_id.clone();
    let blob = spool(blob, options)?;
    let open = || blob.read(0..blob.size);
    let made = TarFile::decompress(open(), &diff_id, u64::MAX, &options.dir, &options.control)
        .and_then(|tar| delta::make(old, NewLayer::new(&layer, &tar), || Ok(open()), options));
    match made {
        Ok(delta) if pays(delta.size(), layer.size) => {
            Ok(LayerDelta { layer, delta: Some(delta), whole: None })
        }
        Ok(delta) => Ok(whole(layer, &format_args!("the delta would have {} bytes", delta.size()))),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
        Err(error) => Ok(whole(layer, &error.reason())),
    }
}

/// Reads a layer into a temporary file: it is read twice.
fn spool(blob: LayerBlob<'_>, options: &MakeOptions) -> Result<BlobFile> {
    let name = blob.name;
    let failed = |error: io::Error| {
        let source = error.downcast::<Error>();
        source.unwrap_or_else(|error| Error::new(ErrorKind::Store, &name).with_source(error))
    };
    let mut reader = (blob.open)(&options.control.cancel).map_err(failed)?;
    let mut file = BlobFileWriter::new_in(&options.dir).map_err(failed)?;
    io::copy(&mut reader, &mut file).map_err(failed)?;
    options.control.check("make delta")?;
    file.finish()
}

fn decompress(layer: LayerBlob<'_>, options: &MakeOptions) -> Result<TarFile> {
    let LayerBlob { name, diff_id, open, .. } = layer;
    let failed = |error| Error::new(ErrorKind::Store, name).with_source(error);
    let reader = open(&options.control.cancel).map_err(failed)?;
    TarFile::decompress(reader, &diff_id, u64::MAX, &options.dir, &options.control)
}
