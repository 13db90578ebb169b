//! Stores of container engines on this machine, and engines themselves, as sources.
//!
//! | location                       | what is read                                                                         |
//! |--------------------------------|--------------------------------------------------------------------------------------|
//! | `docker-root:DIR[:IMAGE]`      | [`docker`]: the data root of dockerd with the graph driver overlay2                  |
//! | `docker-daemon:IMAGE`          | `daemon` (a feature): a running dockerd by its socket                                |
//!
//! Nothing here writes, and nothing takes a lock: an engine may run meanwhile. Directories are opened by handle, and
//! symbolic links lead nowhere outside.

#[cfg(feature = "docker-daemon")]
pub mod daemon;
mod directory;
mod disk_usage;
pub mod docker;
mod open;
mod store;

#[cfg(feature = "docker-daemon")]
pub use self::daemon::DockerDaemon;
pub use self::docker::DockerRoot;
pub(crate) use self::open::open;
pub(crate) use self::store::EngineStore;
