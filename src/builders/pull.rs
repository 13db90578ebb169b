//! `Pull`: one image, from a registry to wherever it is kept.

use futures_util::future::BoxFuture;

use super::image_source::ImageSource;
use super::image_target::ImageTarget;
use super::run::{Run, Verb};
use super::settings::{run_methods, run_setters};
use crate::transfer::{PlannedImage, RunError, RunReport};

/// Pulls an image, of one platform unless more are asked for:
/// [`PlatformRequest::from_env`](crate::transfer::PlatformRequest::from_env) by default.
///
/// Only blobs that the target lacks travel. Dropping the future keeps what arrived; the next pull continues it.
///
/// ```no_run
/// # async fn example() -> Result<(), rpull::RunError> {
/// use rpull::Pull;
///
/// let report = Pull::new("alpine:3.20").to("oci:/var/lib/images").await?;
/// println!("{} bytes transferred", report.images[0].report.bytes.transferred);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is pulled before it is awaited"]
#[derive(Clone)]
pub struct Pull {
    run: Run,
}

impl Pull {
    /// Starts a pull of this image. A text without a prefix names one in a registry.
    pub fn new(image: impl Into<ImageSource>) -> Self {
        let mut run = Run::new(Verb::Pull);
        run.add_image(image.into());
        Self { run }
    }

    /// Adds a target. The blobs are read once for all targets that lack them.
    pub fn to(mut self, target: impl Into<ImageTarget>) -> Self {
        self.run.add_target(target.into());
        self
    }

    run_setters!();
}

run_methods!(Pull);
