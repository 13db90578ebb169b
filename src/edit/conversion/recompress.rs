//! Compresses the tar of a layer anew.

use std::io::{Read, Write as _};

use crate::blob_file::spool_failed;
use crate::control::{CountedReader, PhaseCounter};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::edit::layer_file::{LayerWriter, NewLayer};
use crate::edit::stargz::{self, TABLE_DIGEST};
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::failed;
use crate::layer::{BombGuard, Compression, decompress_detected};
use crate::limits::BUFFER_SIZE;
use crate::media::MediaType;

/// Annotations that are about the bytes of a blob: the tables of contents of eStargz and zstd:chunked, and sizes.
const ABOUT_BYTES: [&str; 4] = [
    "containerd.io/snapshot/stargz/",
    "io.containers.estargz.",
    "io.github.containers.zstd-chunked.",
    "containerd.io/snapshot/nydus-",
];

/// Whether an annotation is wrong for the same tar in another compression.
pub(super) fn is_about_bytes(annotation: &str) -> bool {
    ABOUT_BYTES.iter().any(|prefix| annotation.starts_with(prefix))
}

/// The compression that a media type states; `None` for anything but a layer that every registry has and that rpull reads.
pub(super) fn stated_compression(media_type: &MediaType) -> Option<Compression> {
    if media_type.is_foreign() || !media_type.is_tar_layer() {
        return None;
    }
    match media_type.as_str().rsplit(['.', '+']).next() {
        Some("gzip") => Some(Compression::Gzip),
        Some("zstd") => Some(Compression::Zstd),
        Some("tar") => Some(Compression::Plain),
        _ => None,
    }
}

/// How to compress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    pub(super) compression: Compression,
    pub(super) level: Option<u32>,
    /// Writes eStargz, whose compression is gzip.
    pub(super) is_estargz: bool,
}

impl Encoding {
    /// Whether the layer is compressed in another way, by its media type and annotations.
    pub(super) fn replaces(self, layer: &Descriptor) -> bool {
        stated_compression(&layer.media_type).is_some_and(|own| {
            own != self.compression
                || (self.is_estargz && !layer.annotations.contains_key(TABLE_DIGEST))
        })
    }
}

/// A layer that was compressed anew.
#[derive(Clone, Debug)]
pub(super) struct Recompressed {
    pub(super) layer: NewLayer,
    /// Digest of the tar that was read.
    read: Digest,
}

/// Compresses the tar of a blob, which is read to its end, into a temporary file. `layer` is for errors, and `counter` counts the
/// bytes of the blob. Blocks.
///
/// # Errors
/// Those of the blob; [`ErrorKind::Mismatch`] if the tar has another digest than `diff_id`.
pub(super) fn recompress(
    layer: &str,
    blob: impl Read + Send,
    diff_id: &Digest,
    encoding: Encoding,
    counter: &PhaseCounter,
) -> Result<Recompressed> {
    let read_failed = |error| failed(layer, "", error);
    let blob = CountedReader::new(blob, counter);
    let mut tar = decompress_detected(&BombGuard::default(), blob).map_err(read_failed)?;
    let Encoding { compression, level, is_estargz } = encoding;
    if is_estargz {
        let (new, read) = stargz::write(layer, tar, level, diff_id.algorithm()?)?;
        let new = Recompressed { layer: new, read };
        new.check_read(layer, diff_id)?;
        return Ok(new);
    }
    let mut writer = LayerWriter::with_level(compression, level, diff_id.algorithm()?)?;
    let mut buffer = vec![0; BUFFER_SIZE];
    loop {
        let read = tar.read(&mut buffer).map_err(read_failed)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        writer.write_all(bytes).map_err(spool_failed)?;
    }
    let new = writer.finish()?;
    let new = Recompressed { read: new.diff_id().clone(), layer: new };
    new.check_read(layer, diff_id)?;
    Ok(new)
}

impl Recompressed {
    /// # Errors
    /// [`ErrorKind::Mismatch`] if the tar that was read has another digest than a config says.
    pub(super) fn check_read(&self, layer: &str, diff_id: &Digest) -> Result<()> {
        if self.read == *diff_id {
            return Ok(());
        }
        let reason = format!("diff_id mismatch: expected {diff_id}, got {}", self.read);
        Err(Error::new(ErrorKind::Mismatch, layer).with_reason(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Control;
    use crate::progress::Phase;

    #[test]
    fn compression_is_stated_by_media_type_of_layer() {
        for (media_type, expected) in [
            ("application/vnd.oci.image.layer.v1.tar", Some(Compression::Plain)),
            ("application/vnd.oci.image.layer.v1.tar+gzip", Some(Compression::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Some(Compression::Zstd)),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Some(Compression::Gzip)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", None),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", None),
            ("application/vnd.oci.image.layer.v1.tar+xz", None),
            ("application/vnd.in-toto+json", None),
        ] {
            assert_eq!(stated_compression(&media_type.into()), expected, "{media_type}");
        }
    }

    #[test]
    fn recompressed_layer_of_other_tar_is_refused() {
        let counter = PhaseCounter::new(&Control::default(), Phase::Read, 0);
        let encoding =
            Encoding { compression: Compression::Zstd, level: Some(1), is_estargz: false };
        let tar = vec![7; 100_000];
        let make = |diff_id: &Digest| recompress("layer", &tar[..], diff_id, encoding, &counter);
        let new = make(&Digest::sha256(&tar)).unwrap().layer;
        assert_eq!((new.compression(), new.diff_id()), (Compression::Zstd, &Digest::sha256(&tar)));
        let refused = make(&Digest::sha256(b"other")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Mismatch);
    }
}
