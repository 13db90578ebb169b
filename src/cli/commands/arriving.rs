//! A pull that goes on while what it brings is unpacked.

use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::blame::{blame, is_by_bytes};
use crate::config::CONFIG_LIMIT;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::retry::RetryPolicy;
use crate::transfer::{
    Arrivals, Arrived, Finished, Following, Options, Picked, Report, Wanted, read_small, transfer,
};

/// An image on its way into a layout.
pub(in crate::cli) struct Arriving {
    layout: Layout,
    arrivals: Arc<Arrivals>,
    retry: RetryPolicy,
    stop: CancellationToken,
    pull: JoinHandle<Vec<Finished>>,
}

impl Arriving {
    /// Begins the pull, base layers first.
    pub(super) fn begin(wanted: Wanted, layout: Layout, options: Options) -> Self {
        let arrivals = Arc::new(Arrivals::new(Arc::clone(&options.progress)));
        let (retry, stop) = (options.retry, options.cancel.child_token());
        let progress = Arc::clone(&arrivals) as _;
        let options = Options { progress, as_listed: true, cancel: stop.clone(), ..options };
        let target = Arc::new(layout.clone()) as _;
        let pull = tokio::spawn(async move { transfer(&[wanted], &target, options).await });
        Self { layout, arrivals, retry, stop, pull }
    }

    /// Waits for the image's documents.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] where the pull ended before, as of all that waits: [`Arriving::why`] knows more.
    pub(super) async fn picked(&self) -> Result<Picked> {
        let arrivals = Arc::clone(&self.arrivals);
        let picked = spawn_blocking(move || arrivals.picked()).await;
        picked.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Interrupted, "pull").caused_by(error))
        })
    }

    /// Waits for the image's config.
    pub(super) async fn config(&self, config: &Descriptor) -> Result<bytes::Bytes> {
        let Some(_) = whole(&self.layout, &self.arrivals, config).await else {
            return Err(Error::new(ErrorKind::Interrupted, "pull"));
        };
        read_small(&self.layout, config, CONFIG_LIMIT, self.retry).await
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

    /// Stops the pull because of this; where it was the pull that failed, its error is the one to tell.
    pub(super) async fn why(self, error: Error) -> Error {
        self.stop.cancel();
        let pulled = ended(self.pull).await;
        pulled.error.filter(|_| error.kind() == ErrorKind::Interrupted).unwrap_or(error)
    }

    /// Waits for the work on these layers, and for the pull, whose end `pulled` hears of. When the work fails the pull
    /// is stopped: what arrived stays for the next one.
    ///
    /// # Errors
    /// The pull's, where the work failed because bytes did not come: it knows why.
    pub(super) async fn accompany<T>(
        self,
        layers: &[Descriptor],
        work: impl Future<Output = Result<T, (usize, Error)>>,
        pulled: impl FnOnce(&Finished),
    ) -> Result<T> {
        let Self { layout, arrivals, retry, stop, pull } = self;
        let working = async {
            let (number, mut error) = match work.await {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            // Whose fault it is can only be told when all bytes are there: if they were wrong, the pull mends them.
            if let Some(layer) = layers.get(number).filter(|_| is_by_bytes(&error)) {
                match whole(&layout, &arrivals, layer).await {
                    Some(Arrived { restarts: 1.., .. }) => {
                        error = Error::new(ErrorKind::Mismatch, format!("layer {}", layer.digest))
                            .because(Following::CAME_WRONG);
                    }
                    Some(_) => error = blame(&layout, layer, error, retry).await,
                    None => {}
                }
            }
            stop.cancel();
            Err(error)
        };
        let pulling = async {
            let finished = ended(pull).await;
            pulled(&finished);
            finished
        };
        let (done, finished) = tokio::join!(working, pulling);
        match (done, finished.error) {
            (Err(error), Some(why)) if !is_cause(&error, &why) => Err(why),
            (Ok(_), Some(why)) => Err(why),
            (done, _) => done,
        }
    }
}

/// Whether the work failed first, and the pull was only stopped because of that.
fn is_cause(error: &Error, why: &Error) -> bool {
    let was_stopped = why.kind() == ErrorKind::Interrupted;
    error.kind() != ErrorKind::Interrupted && (was_stopped || !is_by_bytes(error))
}

/// What became of the pull.
async fn ended(pull: JoinHandle<Vec<Finished>>) -> Finished {
    let fail = || Error::new(ErrorKind::Interrupted, "pull");
    let finished = pull.await.map_err(|error| fail().caused_by(error));
    let one = finished.and_then(|all| all.into_iter().next().ok_or_else(fail));
    one.unwrap_or_else(|error| Finished { report: Report::default(), error: Some(error) })
}

/// Waits until a blob is there, verified; `None` where the pull ended before.
async fn whole(layout: &Layout, arrivals: &Arc<Arrivals>, blob: &Descriptor) -> Option<Arrived> {
    // Of what was there before the pull, nothing more is heard.
    let beyond = if layout.blob_file(&blob.digest).is_ok() { 0 } else { blob.size };
    let (arrivals, digest) = (Arc::clone(arrivals), blob.digest.clone());
    let wait = move || loop {
        if let Some(end) = arrivals.blob(&digest, beyond).transpose() {
            return end.ok();
        }
    };
    spawn_blocking(wait).await.ok().flatten()
}
