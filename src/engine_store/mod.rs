//! Stores of container engines on this machine, and engines themselves, as sources.
//!
//! | location                       | what is read                                                                         |
//! |--------------------------------|--------------------------------------------------------------------------------------|
//! | `docker-root:DIR[:IMAGE]`      | [`docker`]: the data root of dockerd with the graph driver overlay2                  |
//! | `containerd-root:DIR[:IMAGE]`  | [`containerd`]: the root of containerd, which Docker 29 uses, too                    |
//! | `docker-daemon:IMAGE`          | `daemon` (a feature): a running dockerd by its socket                                |
//!
//! Nothing here writes, and nothing takes a lock: an engine may run meanwhile. Directories are opened by handle, and
//! symbolic links lead nowhere outside.

pub mod containerd;
#[cfg(feature = "docker-daemon")]
pub mod daemon;
mod directory;
mod disk_usage;
pub mod docker;
mod open;
mod store;

pub use self::containerd::ContainerdRoot;
#[cfg(feature = "docker-daemon")]
pub use self::daemon::DockerDaemon;
pub use self::docker::DockerRoot;
pub(crate) use self::open::open;
pub(crate) use self::store::EngineStore;
