//! The two forms of an archive.

use std::fmt;

/// Which kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveFormat {
    /// A tar of an image layout.
    Oci,
    /// What `docker save` writes; the form with a layout in it is read as that.
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
