//! The two formats of images, which differ in their media types.

use crate::media::MediaType;

/// Media types that mean the same: OCI's, then Docker's.
const PAIRS: [[&str; 2]; 7] = [
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ],
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ],
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"],
    ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"],
    [
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ],
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ],
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
];

/// The type that containerd gives zstd layers in Docker's format, which docker does not know.
const CONTAINERD_ZSTD: [&str; 2] = [
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// A format of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageFormat {
    /// That of image-spec.
    Oci,
    /// Docker's image manifest, version 2, schema 2, and manifest list. It has no zstd layers, artifacts and subjects.
    Docker,
}

impl ImageFormat {
    /// The format of a manifest or index.
    pub(super) fn of(document: &MediaType) -> Self {
        if *document == MediaType::DOCKER_MANIFEST || *document == MediaType::DOCKER_LIST {
            Self::Docker
        } else {
            Self::Oci
        }
    }

    /// The type of this format that means the same; `None` if the format does not have it.
    pub(super) fn media_type(self, own: &MediaType) -> Option<MediaType> {
        let text = own.as_str();
        let pair = PAIRS.iter().find(|pair| pair.contains(&text));
        match (self, pair) {
            (Self::Oci, Some([oci, _])) => Some((*oci).into()),
            (Self::Docker, Some([_, docker])) => Some((*docker).into()),
            (Self::Docker, None) => None,
            (Self::Oci, None) if CONTAINERD_ZSTD.contains(&text) => Some(CONTAINERD_ZSTD[0].into()),
            (Self::Oci, None) => {
                (!text.starts_with("application/vnd.docker.")).then(|| own.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_both_formats_stand_for_each_other() {
        for [oci, docker] in PAIRS {
            for own in [oci, docker] {
                assert_eq!(ImageFormat::Oci.media_type(&own.into()), Some(oci.into()));
                assert_eq!(ImageFormat::Docker.media_type(&own.into()), Some(docker.into()));
            }
        }
        let other = MediaType::from("application/vnd.in-toto+json");
        assert_eq!(ImageFormat::Oci.media_type(&other), Some(other.clone()));
        assert_eq!(ImageFormat::Docker.media_type(&other), None);
        let plugin = MediaType::from("application/vnd.docker.plugin.v1+json");
        assert_eq!(ImageFormat::Oci.media_type(&plugin), None);
        for zstd in CONTAINERD_ZSTD {
            assert_eq!(ImageFormat::Oci.media_type(&zstd.into()), Some(CONTAINERD_ZSTD[0].into()));
            assert_eq!(ImageFormat::Docker.media_type(&zstd.into()), None);
        }
    }

    #[test]
    fn format_of_manifest_and_index_is_recognized() {
        assert_eq!(ImageFormat::of(&MediaType::DOCKER_LIST), ImageFormat::Docker);
        assert_eq!(ImageFormat::of(&MediaType::DOCKER_MANIFEST), ImageFormat::Docker);
        assert_eq!(ImageFormat::of(&MediaType::OCI_INDEX), ImageFormat::Oci);
    }
}
