//! Opens the store of an engine.

use std::path::Path;
use std::sync::Arc;

use super::docker::DockerRoot;
use super::store::EngineStore;
use crate::blocking::run_blocking;
use crate::error::Result;
use crate::location::Engine;

/// Opens the store of an engine.
pub(crate) async fn open(engine: Engine, path: &Path) -> Result<Arc<dyn EngineStore>> {
    let path = path.to_owned();
    match engine {
        Engine::DockerRoot => {
            let open = move || DockerRoot::open(&path);
            Ok(Arc::new(run_blocking("read the engine's store", open).await?))
        }
    }
}
