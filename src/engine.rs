//! The container engines that are read.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// A container engine whose store can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Docker's data root.
    DockerRoot,
    /// containerd's root.
    ContainerdRoot,
    /// A docker daemon, whose path is empty: the environment says where it listens.
    DockerDaemon,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DockerRoot => "docker-root",
            Self::ContainerdRoot => "containerd-root",
            Self::DockerDaemon => "docker-daemon",
        })
    }
}

impl Engine {
    /// The error for a location of this engine as a target.
    pub(crate) fn read_only(self, location: &str) -> Error {
        let error = Error::new(ErrorKind::InvalidInput, format!("location `{location}`"))
            .with_reason(format!("{self} can only be read from"));
        match self {
            Self::DockerRoot | Self::DockerDaemon => {
                error.with_hint("use `docker-archive:FILE` and run `docker load -i FILE`")
            }
            Self::ContainerdRoot => {
                error.with_hint("use `oci-archive:FILE` and run `ctr images import FILE`")
            }
        }
    }
}
