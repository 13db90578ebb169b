//! `Push`: one image or artifact, to a registry.

use futures_util::future::BoxFuture;

use super::image_source::ImageSource;
use super::image_target::ImageTarget;
use super::run::{Run, Verb};
use super::settings::{run_methods, run_setters};
use crate::artifact::Artifact;
use crate::transfer::{PlannedImage, RunError, RunReport};

/// Pushes an image, all its platforms unless some are asked for.
///
/// Only blobs that the registry lacks travel. A push from a layout that died is continued by the next one.
///
/// ```no_run
/// # async fn example() -> Result<(), rpull::RunError> {
/// use rpull::Push;
///
/// Push::new("oci:/var/lib/images:team/app:1").to("registry.example/team/app:1").await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is pushed before it is awaited"]
#[derive(Clone)]
pub struct Push {
    run: Run,
}

impl Push {
    /// Starts a push of this image. A text without a prefix names one in the user's store
    /// ([`Layout::default_path`](crate::layout::Layout::default_path)).
    pub fn new(image: impl Into<ImageSource>) -> Self {
        let mut run = Run::new(Verb::Push);
        run.add_image(image.into());
        Self { run }
    }

    /// Starts a push of an artifact. One with a subject belongs in the repository of its subject.
    pub fn artifact(artifact: Artifact) -> Self {
        Self::new(artifact)
    }

    /// Adds a target. The blobs are read once for all targets that lack them.
    pub fn to(mut self, target: impl Into<ImageTarget>) -> Self {
        self.run.add_target(target.into());
        self
    }

    run_setters!();
}

run_methods!(Push);
