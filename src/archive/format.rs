//! The two formats of an archive.

use std::fmt;

/// The format of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveFormat {
    /// A tar of an image layout.
    Oci,
    /// What `docker save` writes. If it contains a layout, that is read.
    Docker,
}

impl fmt::Display for ArchiveFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oci => "oci-archive",
            Self::Docker => "docker-archive",
        })
    }
}
