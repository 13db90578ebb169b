//! Runs blocking work outside the async threads.

use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};

/// Runs `work` on a blocking thread. Dropping the future does not stop it.
///
/// # Errors
/// Those of `work`; [`ErrorKind::Store`] with `what` if it panicked or the runtime shuts down.
pub(crate) async fn run_blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let failed = |error| Err(Error::new(ErrorKind::Store, what).with_source(error));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}

/// Like [`run_blocking`], with a child of `control` for the work. Dropping the future cancels it.
pub(crate) async fn run_cancellable<T: Send + 'static>(
    control: &Control,
    what: &str,
    work: impl FnOnce(&Control) -> Result<T> + Send + 'static,
) -> Result<T> {
    let control = control.child();
    let on_drop = control.cancel.clone().drop_guard();
    let done = run_blocking(what, move || work(&control)).await;
    // What the work opened goes on with this control.
    on_drop.disarm();
    done
}
