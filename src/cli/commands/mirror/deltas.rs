//! Deltas between consecutive tags, pushed beside the newer image.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ends::Ends;
use super::image::{MirrorImage, Status};
use super::pairs::Pair;
use super::state::MirrorState;
use crate::artifact::Artifact;
use crate::blocking::run_cancellable;
use crate::cli::output::note;
use crate::cli::run::save_deltas::{artifact_request, layers_of};
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::cli::size::{plural, size};
use crate::content::{Presence, Source, Target};
use crate::control::Control;
use crate::delta::MakeOptions;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageManifest};
use crate::error::{Error, ErrorKind, Result};
use crate::image_delta::{LayerDelta, can_pay, delta_artifact, has_deltas_from, make_deltas};
use crate::name::ImageName;
use crate::transfer::{ImageResult, RunReport, Throttle, Transfer, TransferOptions};

/// The deltas of a run.
#[derive(Default)]
pub(super) struct DeltaReport {
    pub(super) made: Vec<PushedDeltas>,
    /// The run was interrupted here.
    pub(super) interrupted: Option<Error>,
    pub(super) elapsed: Duration,
}

/// The deltas of one image of one platform, at its target.
pub(super) struct PushedDeltas {
    /// The newer image and the older one.
    names: [String; 2],
    artifact: Digest,
    /// Sizes of the deltas, and of the layers that they make.
    bytes: [u64; 2],
}

impl PushedDeltas {
    pub(super) fn json(&self) -> Value {
        let ([new, old], [delta_bytes, replaced]) = (&self.names, self.bytes);
        json!({
            "reference": new,
            "from": old,
            "digest": self.artifact,
            "delta_bytes": delta_bytes,
            "replaced_bytes": replaced,
            "outcome": "delta",
        })
    }
}

impl DeltaReport {
    /// `, made deltas of 2 images (1.4 MB instead of 49.2 MB)`
    pub(super) fn summary(&self) -> String {
        let images: HashSet<&str> = self.made.iter().map(|one| one.names[0].as_str()).collect();
        let sum = |part: usize| self.made.iter().filter_map(|one| one.bytes.get(part)).sum();
        match images.len() as u64 {
            0 => String::new(),
            count => format!(
                ", made deltas of {} ({} instead of {})",
                plural(count, "image"),
                size(sum(0)),
                size(sum(1))
            ),
        }
    }
}

/// Names of the images whose deltas a run would check.
pub(super) fn names_to_check<'a>(
    pairs: &[Pair],
    images: &'a [MirrorImage],
    state: &MirrorState,
) -> Vec<&'a str> {
    let is_open = |old: &MirrorImage, new: &MirrorImage| match (&old.status, &new.status) {
        (Status::Failed(_), _) | (_, Status::Failed(_)) => false,
        (Status::Unchanged(_, old), Status::Unchanged(_, copied)) => {
            old.digest != copied.digest
                && !state.has_deltas(&new.reference, &old.digest, &copied.digest)
        }
        _ => true,
    };
    let both = pairs.iter().filter_map(|pair| Some((images.get(pair.old)?, images.get(pair.new)?)));
    both.filter(|(old, new)| is_open(old, new)).map(|(_, new)| new.reference.as_str()).collect()
}

/// Two images of a target whose digests differ.
struct Step<'a> {
    pair: &'a Pair,
    names: [&'a str; 2],
    target: &'a Arc<dyn Target>,
    from: Digest,
    to: Digest,
}

/// Deltas with the artifact that carries them, by the manifests of the two images. `None` if none pays.
type Made = HashMap<(Digest, Digest), Option<(Artifact, [u64; 2])>>;

/// Makes deltas.
pub(super) struct DeltaMaker<'a> {
    pub(super) settings: &'a Settings,
    pub(super) throttle: Option<Throttle>,
}

impl DeltaMaker<'_> {
    /// Makes the deltas that are not at their targets yet. What fails is a warning, because the images are complete.
    pub(super) async fn make_all(
        &self,
        pairs: &[Pair],
        images: &[MirrorImage],
        run: &RunReport,
        state: &mut MirrorState,
        ends: &mut Ends<'_>,
    ) -> DeltaReport {
        let started = Instant::now();
        let mut deltas = DeltaReport::default();
        'all: for steps in steps(pairs, images, run, state) {
            // Those for other targets are the same.
            let mut made = Made::new();
            for step in steps {
                let pushed = &mut deltas.made;
                let making = Box::pin(self.make_step(&step, &mut made, pushed, ends));
                let cancel = &self.settings.control.cancel;
                match or_cancelled(cancel, "deltas", making).await.flatten() {
                    Ok(()) => state.record_deltas(step.names[0], step.from, step.to),
                    Err(error) if cancel.is_cancelled() => {
                        deltas.interrupted = Some(error);
                        break 'all;
                    }
                    Err(error) => {
                        let name = step.names[0];
                        tracing::warn!("{name} has no deltas: {}", error.chain());
                    }
                }
            }
        }
        deltas.elapsed = started.elapsed();
        deltas
    }

    async fn make_step(
        &self,
        step: &Step<'_>,
        made: &mut Made,
        pushed: &mut Vec<PushedDeltas>,
        ends: &mut Ends<'_>,
    ) -> Result<()> {
        let repository = ends.repository_without_mirrors(&step.pair.repository)?;
        let source: Arc<dyn Source> = Arc::new(repository);
        let newer = source.resolve(&ImageName::Digest(step.to.clone())).await?;
        for (old, new) in manifest_pairs(&*source, &step.from, &newer).await? {
            if let Presence::Present(listed) = source.referrers(&new).await?
                && has_deltas_from(&listed, &old)
            {
                continue;
            }
            let key = (old, new);
            if !made.contains_key(&key) {
                let newer = if newer.digest() == &key.1 {
                    newer.clone()
                } else {
                    source.resolve(&ImageName::Digest(key.1.clone())).await?
                };
                let deltas = self.make(&source, step.names[0], &key.0, newer).await?;
                made.insert(key.clone(), deltas);
            }
            let Some(Some((artifact, bytes))) = made.get(&key) else { continue };
            self.push(step.names[0], artifact, step.target).await?;
            let [new, old] = step.names;
            let [delta, whole] = bytes.map(size);
            if !self.settings.quiet {
                note(&format!("delta of {new} from {old}: {delta} instead of {whole}"));
            }
            pushed.push(PushedDeltas {
                names: step.names.map(str::to_owned),
                artifact: artifact.document().digest().clone(),
                bytes: *bytes,
            });
        }
        Ok(())
    }

    /// Makes deltas of the layers that only the new image has.
    async fn make(
        &self,
        source: &Arc<dyn Source>,
        name: &str,
        old: &Digest,
        new: Document,
    ) -> Result<Option<(Artifact, [u64; 2])>> {
        let old = source.resolve(&ImageName::Digest(old.clone())).await?;
        let is_image = |one: &Document| one.manifest().is_ok_and(ImageManifest::has_diff_ids);
        if !is_image(&old) || !is_image(&new) {
            return Ok(None);
        }
        let known: HashSet<&Digest> = old.blobs().map(|blob| &blob.digest).collect();
        let is_new = |layer: &Descriptor| {
            !known.contains(&layer.digest) && !layer.is_foreign() && can_pay(layer.size)
        };
        if !new.manifest()?.layers.iter().any(is_new) {
            return Ok(None);
        }
        let layers = async |document| match layers_of(source, name, document, self.settings).await {
            Ok(layers) => Ok(Some(layers)),
            // Of Windows, or encrypted.
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error),
        };
        let (Some(mut new_layers), Some(old_layers)) = (layers(&new).await?, layers(&old).await?)
        else {
            return Ok(None);
        };
        new_layers.retain(|(layer, _)| is_new(layer));
        let old_layers = old_layers.into_iter().filter(|(layer, _)| !layer.is_foreign());
        let old_layers = old_layers.map(|(_, blob)| blob).collect();
        let make = move |control: &Control| {
            make_deltas(old_layers, new_layers, &MakeOptions::default().control(control.clone()))
        };
        let control = self.settings.control.without_progress();
        let layers = run_cancellable(&control, "delta", make).await?;
        let artifact = delta_artifact(new.descriptor(), Some(old.digest()), &layers)?;
        Ok(artifact.map(|artifact| (artifact, sizes(&layers))))
    }

    async fn push(&self, image: &str, artifact: &Artifact, target: &Arc<dyn Target>) -> Result<()> {
        let options = TransferOptions {
            retry: self.settings.retry,
            throttle: self.throttle.clone(),
            control: self.settings.control.without_progress(),
            ..TransferOptions::default()
        };
        let name = ImageName::Digest(artifact.document().digest().clone());
        let request = artifact_request(image, artifact.clone(), name);
        let run = Box::pin(Transfer::new(options).image(request, target).run()).await;
        let error = run.images.iter().find_map(ImageResult::first_error);
        error.map_or(Ok(()), |error| Err(error.clone_for()))
    }
}

/// The pairs whose deltas are not known, those with the same images together.
fn steps<'a>(
    pairs: &'a [Pair],
    images: &'a [MirrorImage],
    run: &RunReport,
    state: &MirrorState,
) -> Vec<Vec<Step<'a>>> {
    let digests = digests_at_targets(images, run);
    let digest = |position: usize| digests.get(position).cloned().flatten();
    let mut steps: Vec<Vec<Step<'_>>> = Vec::new();
    let mut groups: HashMap<(Digest, Digest), usize> = HashMap::new();
    for pair in pairs {
        let (Some(from), Some(to)) = (digest(pair.old), digest(pair.new)) else { continue };
        let (Some(old), Some(new)) = (images.get(pair.old), images.get(pair.new)) else { continue };
        let Some(target) = new.target() else { continue };
        if from == to || state.has_deltas(&new.reference, &from, &to) {
            continue;
        }
        let names = [new.reference.as_str(), old.reference.as_str()];
        let group = *groups.entry((from.clone(), to.clone())).or_insert(steps.len());
        let step = Step { pair, names, target, from, to };
        match steps.get_mut(group) {
            Some(group) => group.push(step),
            None => steps.push(vec![step]),
        }
    }
    steps
}

/// Digests of the images' names at their targets; `None` for what has failed.
pub(super) fn digests_at_targets(images: &[MirrorImage], run: &RunReport) -> Vec<Option<Digest>> {
    let mut results = run.images.iter();
    let digest = |image: &MirrorImage| match &image.status {
        Status::Unchanged(_, copied) => Some(copied.digest.clone()),
        Status::Pending(_) => {
            let result = results.next()?;
            result.report.summary.digest.clone().filter(|_| result.first_error().is_none())
        }
        Status::Failed(_) => None,
    };
    images.iter().map(digest).collect()
}

/// The image manifests below two names, the older one first, by platform.
async fn manifest_pairs(
    source: &dyn Source,
    from: &Digest,
    new: &Document,
) -> Result<Vec<(Digest, Digest)>> {
    if new.manifest().is_ok() {
        return Ok(vec![(from.clone(), new.digest().clone())]);
    }
    let old = source.resolve(&ImageName::Digest(from.clone())).await?;
    let mut pairs = Vec::new();
    for new in new.children() {
        let Some(platform) = new.platform.as_ref().filter(|one| !one.is_unknown()) else {
            continue;
        };
        let former = old.children().find(|old| old.platform.as_ref() == Some(platform));
        let former = former.filter(|old| old.digest != new.digest);
        pairs.extend(former.map(|old| (old.digest.clone(), new.digest.clone())));
    }
    Ok(pairs)
}

fn sizes(layers: &[LayerDelta]) -> [u64; 2] {
    let made = layers.iter().filter_map(|one| Some((one.delta.as_ref().ok()?, &one.layer)));
    made.fold([0, 0], |[deltas, whole], (delta, layer)| [deltas + delta.size(), whole + layer.size])
}
