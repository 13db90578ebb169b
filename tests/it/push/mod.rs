//! Uploads: chunks, mounts, redirects, resume, referrers.

mod artifact;
mod chunked;
mod manifest;
mod manifest_digest;
mod mount;
mod redirect;
mod referrers;
mod referrers_failures;
mod referrers_tag;
mod resume;
mod upload;

use rpull::digest::Digest;
use serde_json::Value;

use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::{FakeRegistry, Options};
use crate::support::images::Image;
use crate::support::samples::published;

/// Two registries and an image in the first.
struct Pair {
    from: FakeRegistry,
    to: FakeRegistry,
    image: Image,
    cli: Cli,
}

impl Pair {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let ((from, [image, _], _), to) =
            (published().await, FakeRegistry::start_with(options).await);
        Self { from, to, image, cli: Cli::new() }
    }

    /// Copies the image to `team/app:1` of the second registry.
    async fn copy(&self, options: &[&str]) -> Output {
        let (source, target) =
            (self.from.repository("team/app:1"), self.to.repository("team/app:1"));
        self.cli.run(&[&["copy", "--json"], options, &[&source, &target]].concat()).await
    }

    /// Copies the image, asserts that everything arrived, and returns the report.
    async fn arrives(&self, options: &[&str]) -> Value {
        let output = self.copy(options).await;
        assert_eq!(output.code(), Some(0), "{}", output.stderr);
        self.assert_whole();
        serde_json::from_str(&output.stdout).unwrap()
    }

    fn assert_whole(&self) {
        let digest = self.image.manifest.digest().to_string();
        assert_eq!(self.to.tagged("team/app", "1"), Some(digest));
        for blob in self.image.blobs() {
            assert_eq!(self.to.blob_bytes("team/app", blob.digest()).as_ref(), Some(&blob.bytes));
        }
    }

    fn largest(&self) -> &Digest {
        self.image.blobs().max_by_key(|blob| blob.bytes.len()).unwrap().digest()
    }
}
