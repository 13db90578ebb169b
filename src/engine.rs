//! The container engines that are read.

use std::fmt;

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
