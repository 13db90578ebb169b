//! `Push`: one image or artifact, to a registry.

use futures_util::future::BoxFuture;

use super::image_source::ImageSource;
use super::image_target::ImageTarget;
use super::run::{Run, Verb};
use super::settings::{run_methods, run_setters};
use crate::artifact::Artifact;
use crate::transfer::{PlannedImage, RunError, RunReport};

/// Pushes an image, with all platforms unless some are selected.
///
/// Transfers only blobs that the registry lacks. After an interrupted push from a layout, the next one continues it. A successful
/// one is noted in the layout, so that another tag of the image needs no upload.
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
    /// A push of this image. Text without a prefix is the name or id of one in the user's store
    /// ([`Layout::default_path`](crate::layout::Layout::default_path)).
    pub fn new(image: impl Into<ImageSource>) -> Self {
        let mut run = Run::new(Verb::Push);
        run.add_image(image.into());
        Self { run }
    }

    /// A push of an artifact. An artifact with a subject belongs in the repository of its subject.
    pub fn artifact(artifact: Artifact) -> Self {
        Self::new(artifact)
    }

    /// Adds a target. Each blob is read once for all targets that lack it.
    pub fn to(mut self, target: impl Into<ImageTarget>) -> Self {
        self.run.add_target(target.into());
        self
    }

    run_setters!();
}

run_methods!(Push);
