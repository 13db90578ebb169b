//! Media types and descriptors in an edited manifest.

use serde_json::value::RawValue;

use super::edited_object::{EditedObject, raw};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Compression;
use crate::media::MediaType;

/// The media types of uncompressed and gzipped layers: OCI's, then Docker's.
const LAYER_TYPES: [[&str; 2]; 2] = [
    ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"],
    [
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ],
];

const OCI_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// The media type of a new layer in a manifest of this type.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for zstd in Docker's format, which has no type for it.
pub(super) fn layer_type(manifest: &MediaType, compression: Compression) -> Result<MediaType> {
    let is_docker = *manifest == MediaType::DOCKER_MANIFEST;
    let [plain, gzip] = LAYER_TYPES.map(|[oci, docker]| if is_docker { docker } else { oci });
    match compression {
        Compression::Plain => Ok(plain.into()),
        Compression::Gzip => Ok(gzip.into()),
        Compression::Zstd if is_docker => Err(Error::new(ErrorKind::Unsupported, "zstd layer")
            .with_reason("the image has a manifest in Docker's format, which has no zstd layers")
            .with_hint("use gzip")),
        Compression::Zstd => Ok(OCI_ZSTD.into()),
    }
}

/// A layer of an image in another format, for a manifest of this type: it has the same bytes and another media type.
pub(super) fn in_format(manifest: &MediaType, layer: &RawValue) -> Result<Box<RawValue>> {
    let mut object = EditedObject::of("layer", layer)?;
    let descriptor: Descriptor = serde_json::from_str(layer.get()).map_err(|error| {
        Error::new(ErrorKind::InvalidDocument, "layer").with_reason("malformed").with_source(error)
    })?;
    let is_docker = *manifest == MediaType::DOCKER_MANIFEST;
    let own = descriptor.media_type.as_str();
    let pair = LAYER_TYPES.iter().find(|pair| pair.contains(&own));
    if let Some([oci, docker]) = pair {
        object.set("mediaType", if is_docker { docker } else { oci })?;
    }
    raw("layer", &object)
}
