//! `Pull`: one image, from a registry to any target.

use futures_util::future::BoxFuture;

use super::image_source::ImageSource;
use super::image_target::ImageTarget;
use super::run::{Run, Verb};
use super::settings::{run_methods, run_setters};
use crate::transfer::{PlannedImage, RunError, RunReport};

/// Pulls an image, for one platform unless more are selected:
/// [`PlatformRequest::from_env`](crate::transfer::PlatformRequest::from_env) by default.
///
/// Transfers only blobs that the target lacks. Dropping the future keeps what has arrived, and the next pull continues it.
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
    /// A pull of this image. Text without a prefix is the reference of one in a registry.
    pub fn new(image: impl Into<ImageSource>) -> Self {
        let mut run = Run::new(Verb::Pull);
        run.add_image(image.into());
        Self { run }
    }

    /// Adds a target. Each blob is read once for all targets that lack it.
    pub fn to(mut self, target: impl Into<ImageTarget>) -> Self {
        self.run.add_target(target.into());
        self
    }

    run_setters!();
}

run_methods!(Pull);
