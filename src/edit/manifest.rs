//! Media types and descriptors in an edited manifest.

use serde_json::value::RawValue;

use super::edited_object::{EditedObject, raw};
use super::format::ImageFormat;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Compression;
use crate::media::MediaType;

/// The media type of a new layer in a manifest of this type.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for zstd in Docker's format, which has no type for it.
pub(super) fn layer_type(manifest: &MediaType, compression: Compression) -> Result<MediaType> {
    let oci = match compression {
        Compression::Plain => MediaType::OCI_LAYER,
        Compression::Gzip => MediaType::OCI_LAYER_GZIP,
        Compression::Zstd => MediaType::OCI_LAYER_ZSTD,
    };
    ImageFormat::of(manifest).media_type(&oci).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "zstd layer")
            .with_reason("the image has a manifest in Docker's format, which has no zstd layers")
            .with_hint("use gzip, or convert the image with `rpull copy --format oci` first")
    })
}

/// A layer of an image in another format, for a manifest of this type: it has the same bytes and another media type.
pub(super) fn in_format(manifest: &MediaType, layer: &RawValue) -> Result<Box<RawValue>> {
    let mut object = EditedObject::of("layer", layer)?;
    let descriptor: Descriptor = serde_json::from_str(layer.get()).map_err(|error| {
        Error::new(ErrorKind::InvalidDocument, "layer").with_reason("malformed").with_source(error)
    })?;
    if let Some(media_type) = ImageFormat::of(manifest).media_type(&descriptor.media_type) {
        object.set("mediaType", &media_type)?;
    }
    raw("layer", &object)
}
