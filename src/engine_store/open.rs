//! Opens the store of an engine.

use std::path::Path;
use std::sync::Arc;

use super::containerd::ContainerdRoot;
#[cfg(feature = "docker-daemon")]
use super::daemon::DockerDaemon;
use super::docker::DockerRoot;
use super::store::EngineStore;
use crate::blocking::run_blocking;
use crate::error::Result;
#[cfg(not(feature = "docker-daemon"))]
use crate::error::{Error, ErrorKind};
use crate::location::Engine;

/// Opens the store of an engine.
pub(crate) async fn open(engine: Engine, path: &Path) -> Result<Arc<dyn EngineStore>> {
    let path = path.to_owned();
    match engine {
        Engine::DockerRoot => {
            let open = move || DockerRoot::open(&path);
            Ok(Arc::new(run_blocking("read the engine's store", open).await?))
        }
        Engine::ContainerdRoot => {
            let open = move || ContainerdRoot::open(&path);
            Ok(Arc::new(run_blocking("read the engine's store", open).await?))
        }
        #[cfg(feature = "docker-daemon")]
        Engine::DockerDaemon => Ok(DockerDaemon::from_env()?),
        #[cfg(not(feature = "docker-daemon"))]
        Engine::DockerDaemon => Err(Error::new(ErrorKind::Unsupported, "docker-daemon")
            .with_reason("this build does not have the feature `docker-daemon`")),
    }
}
