//! A pull that goes on while what it brings is unpacked.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::transfer::{Arrivals, Finished, Following, Options, Wanted, transfer};

/// An image on its way into a layout.
pub(in crate::cli) struct Arriving {
    layout: Layout,
    arrivals: Arc<Arrivals>,
    pull: JoinHandle<Vec<Finished>>,
}

impl Arriving {
    /// Begins the pull, base layers first.
    pub(super) fn begin(wanted: Wanted, layout: Layout, options: Options) -> Self {
        let arrivals = Arc::new(Arrivals::new(Arc::clone(&options.progress)));
        let options = Options { progress: Arc::clone(&arrivals) as _, as_listed: true, ..options };
        let target = Arc::new(layout.clone()) as _;
        let pull = tokio::spawn(async move { transfer(&[wanted], &target, options).await });
        Self { layout, arrivals, pull }
    }

    /// Where it arrives.
    pub(super) fn layout(&self) -> Arc<Layout> {
        Arc::new(self.layout.clone())
    }

    /// A layer, as it arrives.
    pub(super) fn layer(&self, layer: Descriptor) -> Following {
        let layout = self.layout.clone();
        let open = Box::new(move |digest: &_| layout.arriving(digest));
        Following::new(layer, Arc::clone(&self.arrivals), open)
    }

    /// Waits for the pull's end.
    ///
    /// # Errors
    /// What the pull failed with: then whoever waited for its bytes knows only that they do not come.
    pub(super) async fn end(self) -> Result<Finished> {
        let fail = || Error::new(ErrorKind::Interrupted, "pull");
        let finished = self.pull.await.map_err(|error| fail().caused_by(error))?;
        let mut finished = finished.into_iter().next().ok_or_else(fail)?;
        match finished.error.take() {
            Some(error) => Err(error),
            None => Ok(finished),
        }
    }
}
