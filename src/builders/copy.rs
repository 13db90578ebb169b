//! `Copy`: many images, each to many targets, in one run.

use futures_util::future::BoxFuture;

use super::image_source::ImageSource;
use super::image_target::ImageTarget;
use super::run::{Run, Verb};
use super::settings::{run_methods, run_setters};
use crate::transfer::{PlannedImage, RunError, RunReport};

/// Copies images, with all platforms unless some are selected. The bytes stream through memory.
///
/// In one run every blob is read once, and repositories of one registry mount blobs from each other. A failure affects only its
/// image and target.
///
/// ```no_run
/// # async fn example() -> Result<(), rpull::RunError> {
/// use rpull::Copy;
///
/// let mut copy = Copy::new();
/// for tag in ["3.19", "3.20"] {
///     copy = copy
///         .image(format!("alpine:{tag}"))
///         .to(format!("eu.example/alpine:{tag}"))
///         .to(format!("us.example/alpine:{tag}"));
/// }
/// let report = copy.await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is copied before it is awaited"]
#[derive(Clone)]
pub struct Copy {
    run: Run,
}

impl Default for Copy {
    fn default() -> Self {
        Self::new()
    }
}

impl Copy {
    /// A copy without images.
    pub fn new() -> Self {
        Self { run: Run::new(Verb::Copy) }
    }

    /// Adds an image. Text without a prefix is the reference of one in a registry.
    pub fn image(mut self, image: impl Into<ImageSource>) -> Self {
        self.run.add_image(image.into());
        self
    }

    /// Adds a target to the image that was added last. Each blob is read once for all targets that lack it.
    pub fn to(mut self, target: impl Into<ImageTarget>) -> Self {
        self.run.add_target(target.into());
        self
    }

    run_setters!();
}

run_methods!(Copy);
