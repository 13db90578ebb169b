//! A pull whose layers are unpacked while they arrive.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::image::attribute_error::{attribute_error, may_be_corruption};
use crate::config::CONFIG_LIMIT;
use crate::content::{Endpoint, Lookup as _, Source};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::retry::RetryPolicy;
use crate::transfer::{
    Feeds, GrowingBlob, ImageRequest, ImageResult, ResolvedImage, TransferOptions, read_small,
    transfer,
};

/// A running pull of one image into a layout.
pub(in crate::cli) struct ImageDownload {
    layout: Layout,
    feeds: Feeds,
    retry: RetryPolicy,
    stop: CancellationToken,
    pull: JoinHandle<Vec<ImageResult>>,
}

impl ImageDownload {
    /// Starts the pull, base layers first.
    pub(in crate::cli) fn begin(
        request: ImageRequest,
        layout: Layout,
        options: TransferOptions,
    ) -> Self {
        let (feeder, feeds) = Feeds::connect();
        let (retry, control) = (options.retry, options.control.child());
        let (feeder, stop) = (Some(feeder), control.cancel.clone());
        let options = TransferOptions { feeder, listed_order: true, control, ..options };
        let target = Arc::new(layout.clone()) as _;
        let pull = tokio::spawn(async move { transfer(&[request], &target, options).await });
        Self { layout, feeds, retry, stop, pull }
    }

    /// Waits for the image's documents.
    ///
    /// # Errors
    /// A short form of the pull's error; [`ImageDownload::stop_with`] returns all of it.
    pub(in crate::cli) async fn documents(&self) -> Result<ResolvedImage> {
        self.feeds.resolved_image().await
    }

    /// Waits for the image's config, and reads it.
    pub(in crate::cli) async fn config(&self, config: &Descriptor) -> Result<bytes::Bytes> {
        self.feeds.verified(config).await?;
        read_small(&self.layout, config, CONFIG_LIMIT, self.retry).await
    }

    /// The layout that the image is pulled into.
    pub(in crate::cli) fn layout(&self) -> Arc<Layout> {
        Arc::new(self.layout.clone())
    }

    /// Where the pull reads and writes.
    pub(in crate::cli) fn endpoints(&self, source: &dyn Source) -> (Endpoint, Endpoint) {
        (source.endpoint().clone(), self.layout.endpoint().clone())
    }

    /// Returns a function that opens a layer for reading while it arrives.
    pub(in crate::cli) fn opener(
        &self,
        layer: Descriptor,
    ) -> impl FnOnce(&CancellationToken) -> GrowingBlob + Send + use<> {
        let (layout, feeds, digest) =
            (self.layout.clone(), self.feeds.clone(), layer.digest.clone());
        let open = Box::new(move || layout.blob_file(&digest));
        move |stop| feeds.read(layer, open, stop.clone())
    }

    /// Returns a function that blocks until the pull has ended.
    pub(in crate::cli) fn wait_for_end(&self) -> impl FnOnce() -> Result<()> + Send + use<> {
        let feeds = self.feeds.clone();
        move || feeds.wait_for_run()
    }

    /// Stops the pull because of `error`. Returns the pull's own error if that is the cause, else `error`.
    pub(in crate::cli) async fn stop_with(self, error: Error) -> Error {
        self.stop.cancel();
        pull_error_or(error, join_pull(self.pull).await.error)
    }

    /// Waits for `work` on these layers and for the pull, and passes the pull's result to `pulled`. If the work fails
    /// the pull is stopped; partial blobs are kept.
    ///
    /// # Errors
    /// The pull's error if the work failed because of missing bytes.
    pub(in crate::cli) async fn run_alongside<T>(
        self,
        layers: &[Descriptor],
        work: impl Future<Output = Result<T>>,
        pulled: impl FnOnce(&ImageResult),
    ) -> Result<T> {
        let Self { layout, feeds, retry, stop, pull } = self;
        let working = async {
            let mut error = match work.await {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            // Decide only when all bytes have arrived: a corrupt transfer is detected at its end, and the pull repeats
            // it.
            let layer = error.layer().and_then(|number| layers.get(number));
            if let Some(layer) = layer.filter(|_| may_be_corruption(&error)) {
                match feeds.verified(layer).await {
                    Ok(1..) => {
                        error = Error::new(ErrorKind::Mismatch, format!("layer {}", layer.digest))
                            .with_reason(GrowingBlob::BLOB_RESTARTED)
                            .with_hint("run the command again");
                    }
                    Ok(0) => error = attribute_error(&layout, layer, error, retry).await,
                    Err(_) => {}
                }
            }
            stop.cancel();
            Err(error)
        };
        let pulling = async {
            let finished = join_pull(pull).await;
            pulled(&finished);
            finished
        };
        let (done, finished) = tokio::join!(working, pulling);
        match (done, finished.error) {
            (Err(error), cause) => Err(pull_error_or(error, cause)),
            (Ok(_), Some(cause)) => Err(cause),
            (Ok(done), None) => Ok(done),
        }
    }
}

/// Returns the pull's error, unless it was only stopped because of the work's error.
fn pull_error_or(error: Error, pull_error: Option<Error>) -> Error {
    let was_stopped = |cause: &Error| cause.kind() == ErrorKind::Interrupted;
    match pull_error {
        Some(cause) if was_stopped(&error) || !was_stopped(&cause) => cause,
        _ => error,
    }
}

/// Waits for the pull's result.
async fn join_pull(pull: JoinHandle<Vec<ImageResult>>) -> ImageResult {
    let fail = || Error::new(ErrorKind::Interrupted, "pull");
    let finished = pull.await.map_err(|error| fail().with_source(error));
    let one = finished.and_then(|all| all.into_iter().next().ok_or_else(fail));
    one.unwrap_or_else(ImageResult::failed)
}
