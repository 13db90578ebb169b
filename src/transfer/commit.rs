//! Stores the documents of one image whose blobs are at the target: attached artifacts, children, and last the root with
//! its name.

use std::sync::Arc;

use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{Effort, Presence, Role, Source, TargetWriter};
use crate::document::{Document, ParsedDocument};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::platform::Platform;
use crate::transfer::resolve::artifacts::is_refusal;
use crate::transfer::resolve::graph::{AttachedArtifact, ImageGraph};
use crate::transfer::side::OnSide as _;
use crate::transfer::target_state::TargetState;

/// Everything that is needed to commit one image.
pub(super) struct CommitJob {
    pub(super) graph: Arc<ImageGraph>,
    pub(super) source: Arc<dyn Source>,
    pub(super) target: Arc<TargetState>,
    pub(super) writer: Arc<dyn TargetWriter>,
    /// Missing content has been sent again: all documents are put, whatever is known about the target, and a refusal is final.
    pub(super) is_final_attempt: bool,
}

/// A committed image.
pub(super) struct Committed {
    /// Why it was stored without some of its attached artifacts.
    pub(super) artifact_error: Option<Error>,
    /// The platform of each manifest of the graph.
    pub(super) platforms: Vec<Option<Platform>>,
}

impl CommitJob {
    /// Stores everything, the name last.
    ///
    /// # Errors
    /// [`ErrorKind::MissingBlobs`] if the target lacks content that it was believed to have.
    pub(super) async fn run(self) -> Result<Committed> {
        let artifact_error = self.put_all().await.on(Side::Target)?;
        let platforms = platforms(&self.graph, &*self.source, &self.target).await;
        Ok(Committed { artifact_error, platforms })
    }

    async fn put_all(&self) -> Result<Option<Error>> {
        let mut artifact_error = None;
        for artifact in self.graph.attached.iter().filter(|artifact| !artifact.complete) {
            let error = self.put_artifact(artifact).await?;
            artifact_error = artifact_error.or(error);
        }
        if !self.graph.complete {
            let names = std::slice::from_ref(&self.graph.name);
            let role = Role::Root { names, provenance: &self.graph.provenance };
            self.put_documents(&self.graph.documents, role).await?;
        }
        Ok(artifact_error)
    }

    /// Returns the error because of which the image is stored without this artifact. A mere refusal is only a warning.
    ///
    /// # Errors
    /// An error that everything else would fail with, too, or one about missing blobs that can still be sent.
    async fn put_artifact(&self, artifact: &AttachedArtifact) -> Result<Option<Error>> {
        let names = std::slice::from_ref(&artifact.name);
        let role = Role::Attached { names, provenance: &artifact.provenance };
        let Err(error) = self.put_documents(&artifact.documents, role).await else {
            return Ok(None);
        };
        match error.kind() {
            ErrorKind::Store | ErrorKind::Interrupted => return Err(error),
            ErrorKind::MissingBlobs if !self.is_final_attempt => return Err(error),
            _ => {}
        }
        if !is_refusal(&error) {
            return Ok(Some(error));
        }
        tracing::warn!("failed to store {} with the image: {}", artifact.name, error.chain());
        Ok(None)
    }

    /// Stores documents, children before parents; the last one has the role. A child that the target has is not put again,
    /// unless it turned out to be missing.
    async fn put_documents(&self, documents: &[Document], role: Role<'_>) -> Result<()> {
        let Some((root, children)) = documents.split_last() else { return Ok(()) };
        for child in children {
            // Images that share a document may be committed at the same time: it is put once.
            let _putting = self.target.lock_document(child.digest()).await;
            if self.is_final_attempt || !self.target.known().is_present(child.digest()) {
                self.writer.put_manifest(child, Role::Child).await?;
                self.target.known().mark_sent(child.digest());
            }
        }
        // A target may set all names of a document with the first one.
        let _putting = self.target.lock_document(root.digest()).await;
        self.writer.put_manifest(root, role).await?;
        self.target.known().mark_sent(root.digest());
        Ok(())
    }
}

/// The platform of each manifest. If no index states it, only the config does, which has been moved by now: reading it costs
/// no request.
pub(super) async fn platforms(
    graph: &ImageGraph,
    source: &dyn Source,
    target: &TargetState,
) -> Vec<Option<Platform>> {
    let mut platforms = Vec::with_capacity(graph.manifests.len());
    for (descriptor, platform) in &graph.manifests {
        let mut found = platform.clone();
        let document = graph.documents.iter().find(|known| known.digest() == &descriptor.digest);
        if let Some(document) = document.filter(|_| found.is_none()) {
            found = config_platform(document, source, target).await;
        }
        platforms.push(found);
    }
    platforms
}

async fn config_platform(
    document: &Document,
    source: &dyn Source,
    target: &TargetState,
) -> Option<Platform> {
    let ParsedDocument::Manifest(manifest) = document.parsed() else { return None };
    if !manifest.config.media_type.is_image_config() {
        return None;
    }
    let stored = target.small_blob(&manifest.config, CONFIG_LIMIT).await;
    let bytes = if let Some(bytes) = stored {
        bytes
    } else {
        let read = source.read(&manifest.config, CONFIG_LIMIT, Effort::Local).await;
        read.ok().and_then(Presence::present)?
    };
    let platform = ImageConfig::parse(&bytes).ok()?.platform();
    Some(platform).filter(|platform| !platform.is_empty())
}
