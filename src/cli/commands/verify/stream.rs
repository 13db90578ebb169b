//! `verify` of images outside of a layout: reads all blobs once and keeps nothing.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cli::settings::Settings;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{EmptyTarget, Source, Target};
use crate::control::{CountedReader, PhaseCounter};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::ParsedDocument;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{diff_id_of, is_unsupported};
use crate::layout::{BadBlob, BlobFault, VerifyReport};
use crate::name::ImageName;
use crate::progress::Phase;
use crate::retry::RetryPolicy;
use crate::transfer::{
    ImageGraph, ImageRequest, ReceivedBlob, TransferOptions, can_read_elsewhere, read_blob,
    read_small, resolve,
};

/// Maximum number of blobs that are read at the same time.
const JOBS: usize = 6;

/// What was found of a blob: what is wrong with it, if anything.
type Finding = Option<(BlobFault, String)>;

/// Checks all blobs of an image, all platforms of it, against its documents and configs.
pub(super) async fn check(
    source: &Arc<dyn Source>,
    name: ImageName,
    reference: String,
    settings: &Settings,
) -> Result<VerifyReport> {
    let request = ImageRequest {
        target_name: ImageName::Layout(reference.clone()),
        reference: reference.clone(),
        ..ImageRequest::new(Arc::clone(source), name)
    };
    let nowhere: Arc<dyn Target> = Arc::new(EmptyTarget::new(String::new()));
    let graph = resolve(&request, &nowhere, &settings.retry).await?;
    let mut report = VerifyReport {
        blobs: graph.documents.len() as u64,
        bytes: graph.documents.iter().map(|document| document.bytes().len() as u64).sum(),
        ..VerifyReport::default()
    };
    let mut add_bad = |digest: &Digest, (fault, reason): (BlobFault, String)| {
        let bad = BadBlob::new(digest.clone(), fault, reason);
        report.bad.push(BadBlob { images: vec![reference.clone()], ..bad });
    };
    let Configs { diff_ids, sizes } =
        read_configs(&graph, &**source, settings, &mut add_bad).await?;
    let is_open = |blob: &&Descriptor| !blob.is_foreign() && !sizes.contains_key(&blob.digest);
    let blobs: Vec<_> = graph.blobs.iter().filter(is_open).cloned().collect();
    let total = blobs.iter().map(|blob| blob.size).sum();
    let counter = Arc::new(PhaseCounter::new(&settings.control, Phase::Verify, total));
    let (mut tasks, slots) = (JoinSet::new(), Arc::new(Semaphore::new(JOBS)));
    for blob in blobs {
        let check = BlobCheck {
            source: Arc::clone(source),
            diff_id: diff_ids.get(&blob.digest).cloned().filter(|diff_id| *diff_id != blob.digest),
            blob,
            retry: settings.retry,
            counter: Arc::clone(&counter),
        };
        let slots = Arc::clone(&slots);
        tasks.spawn(async move {
            let _slot = slots.acquire_owned().await;
            let found = check.run().await;
            (check.blob, found)
        });
    }
    let mut counts = (sizes.len() as u64, sizes.values().sum::<u64>());
    while let Some(ended) = tasks.join_next().await {
        let (blob, found) = ended
            .map_err(|error| Error::new(ErrorKind::Interrupted, "verify").with_source(error))?;
        match found? {
            None => counts = (counts.0 + 1, counts.1 + blob.size),
            Some(finding) => add_bad(&blob.digest, finding),
        }
    }
    report.blobs += counts.0;
    report.bytes += counts.1;
    report.bad.sort_by(|a, b| a.digest.cmp(&b.digest));
    report.bad.dedup_by(|a, b| a.digest == b.digest);
    Ok(report)
}

/// What the configs of an image say.
#[derive(Default)]
struct Configs {
    /// The `diff_id` of each layer that is a tar.
    diff_ids: HashMap<Digest, Digest>,
    /// Sizes of the configs that were read and verified.
    sizes: HashMap<Digest, u64>,
}

async fn read_configs(
    graph: &ImageGraph,
    source: &dyn Source,
    settings: &Settings,
    add_bad: &mut impl FnMut(&Digest, (BlobFault, String)),
) -> Result<Configs> {
    let mut found = Configs::default();
    for document in &graph.documents {
        let ParsedDocument::Manifest(manifest) = document.parsed() else { continue };
        if !manifest.has_diff_ids() {
            continue;
        }
        let config = &manifest.config;
        let bytes = match read_small(source, config, CONFIG_LIMIT, settings.retry).await {
            Ok(bytes) => bytes,
            // It is read again with the other blobs, and reported.
            Err(error) if is_blob_error(&error) => continue,
            Err(error) => return Err(error),
        };
        found.sizes.insert(config.digest.clone(), config.size);
        let pairs = ImageConfig::parse(&bytes)
            .map_err(|error| error.chain())
            .and_then(|config| config.diff_id_pairs(&manifest.layers));
        match pairs {
            Ok(pairs) => found.diff_ids.extend(pairs),
            Err(reason) => add_bad(&config.digest, (BlobFault::Invalid, reason)),
        }
    }
    Ok(found)
}

/// Whether the blob is missing or damaged. The other blobs can still be checked.
fn is_blob_error(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Mismatch)
}

/// A blob to check.
struct BlobCheck {
    source: Arc<dyn Source>,
    blob: Descriptor,
    /// What the config says of it.
    diff_id: Option<Digest>,
    retry: RetryPolicy,
    counter: Arc<PhaseCounter>,
}

impl BlobCheck {
    async fn run(&self) -> Result<Finding> {
        loop {
            let found = self.check_once().await;
            if !found.as_ref().is_err_and(can_read_elsewhere) {
                return found;
            }
        }
    }

    /// Reads the blob, and fails if another host may have the right bytes.
    async fn check_once(&self) -> Result<Finding> {
        if let Some(diff_id) = &self.diff_id {
            match self.diff_id_of(diff_id).await {
                Ok(found) if found == *diff_id => return Ok(None),
                Ok(found) => {
                    let reason = format!("diff_id mismatch: the config has {diff_id}, got {found}");
                    return Ok(Some((BlobFault::Invalid, reason)));
                }
                // Either its bytes are not what its digest says, or they are no layer.
                Err(error) => {
                    let error = match error.downcast::<Error>() {
                        Ok(wrong) if can_read_elsewhere(&wrong) => return Err(wrong),
                        Ok(other) => io::Error::other(other),
                        Err(error) => error,
                    };
                    let finding = self.hash().await?;
                    let reason = format!("cannot be decompressed: {error}");
                    let invalid = Some((BlobFault::Invalid, reason));
                    return Ok(finding.or(invalid.filter(|_| !is_unsupported(&error))));
                }
            }
        }
        self.hash().await
    }

    fn options(&self) -> TransferOptions {
        TransferOptions::default().retry(self.retry)
    }

    async fn hash(&self) -> Result<Finding> {
        let mut count = |bytes: &[u8]| self.counter.add(bytes.len() as u64);
        match read_blob(&*self.source, &self.blob, self.options(), &mut count).await {
            Ok(()) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Some((BlobFault::Missing, error.reason().to_owned())))
            }
            Err(error) if can_read_elsewhere(&error) => Err(error),
            Err(error) if error.kind() == ErrorKind::Mismatch => {
                Ok(Some((BlobFault::Corrupt, error.reason().to_owned())))
            }
            Err(error) => Err(error),
        }
    }

    /// Decompresses the layer as it arrives, and verifies its bytes.
    async fn diff_id_of(&self, expected: &Digest) -> io::Result<Digest> {
        let algorithm = expected.algorithm().map_err(io::Error::other)?;
        let (source, layer) = (Arc::clone(&self.source), self.blob.clone());
        let blob = ReceivedBlob::begin(source, layer, self.options(), &Handle::current());
        let counter = Arc::clone(&self.counter);
        let work = move || {
            let mut blob = CountedReader::new(blob, &counter);
            let found = diff_id_of(&mut blob, algorithm)?;
            // The end of the blob is given when all of it was verified.
            io::copy(&mut blob, &mut io::sink())?;
            Ok(found)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}
