//! Deltas in archives: made from layers of the store that the recipient has.

use std::collections::HashSet;
use std::sync::Arc;

use crate::artifact::Artifact;
use crate::blocking::run_cancellable;
use crate::builders::{open_stored, open_streamed};
use crate::cli::output::note;
use crate::cli::settings::Settings;
use crate::cli::size::size;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{EmptyTarget, Source, Target};
use crate::control::Control;
use crate::delta::MakeOptions;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageManifest};
use crate::error::Result;
use crate::image_delta::{LayerDelta, delta_artifact, make_deltas};
use crate::image_layers::LayerBlob;
use crate::layout::Layout;
use crate::name::ImageName;
use crate::reference::{Reference, is_pinned};
use crate::transfer::{ImageRequest, read_small, resolve};

/// Deltas of the images of an archive.
#[derive(Default)]
pub(in crate::cli) struct SavedDeltas {
    /// Layers that are not written.
    pub(in crate::cli) replaced: HashSet<Digest>,
    /// The artifacts to write.
    pub(in crate::cli) requests: Vec<ImageRequest>,
}

/// Returns the request that writes the deltas of an image.
pub(in crate::cli) fn artifact_request(
    image: &str,
    artifact: Artifact,
    target_name: ImageName,
) -> ImageRequest {
    let image = image.rsplit_once('@').filter(|_| is_pinned(image)).map_or(image, |(name, _)| name);
    let reference = format!("deltas of {image}");
    let request = ImageRequest::new(Arc::new(artifact), ImageName::Only);
    ImageRequest { reference, target_name, ..request }
}

/// The name of deltas in an archive, as other referrers have it: the repository of the image, and the digest. With the tag, readers
/// would take it for another image of that tag.
pub(in crate::cli) fn archive_name(image: &str, artifact: &Artifact) -> ImageName {
    let digest = artifact.document().digest();
    let repository = image.parse::<Reference>().map(|image| image.without_name().to_string());
    ImageName::Layout(format!("{}@{digest}", repository.as_deref().unwrap_or(image)))
}

/// Makes deltas of the layers that these images have and the recipient does not. `known` are the recipient's blobs; those that
/// no image of the store has are of no use here.
pub(in crate::cli) async fn make_deltas_for(
    images: &[ImageRequest],
    known: &HashSet<Digest>,
    settings: &Settings,
) -> Result<SavedDeltas> {
    let Some(store) = settings.store_if_any()? else { return Ok(SavedDeltas::default()) };
    let (mut manifests, mut new, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for image in images {
        for manifest in manifests_of(image, settings).await? {
            let layers = layers_of(&image.source, &image.reference, &manifest, settings).await?;
            for (layer, blob) in layers {
                if !known.contains(&layer.digest) && seen.insert(layer.digest.clone()) {
                    new.push((layer, blob));
                }
            }
            manifests.push((image, manifest));
        }
    }
    let old = known_layers(&store, known)?;
    if old.is_empty() || new.is_empty() {
        return Ok(SavedDeltas::default());
    }
    let make = move |control: &Control| {
        make_deltas(old, new, &MakeOptions::default().control(control.clone()))
    };
    let layers = run_cancellable(&settings.control, "delta", make).await?;
    note_savings(&layers, settings);
    let mut saved = SavedDeltas::default();
    for (image, manifest) in manifests {
        let own: HashSet<&Digest> = manifest.blobs().map(|blob| &blob.digest).collect();
        let layers = layers.iter().filter(|layer| own.contains(&layer.layer.digest));
        let ImageName::Layout(name) = &image.target_name else { continue };
        let Some(artifact) = delta_artifact(manifest.descriptor(), None, layers)? else { continue };
        let target_name = archive_name(name, &artifact);
        saved.requests.push(artifact_request(&image.reference, artifact, target_name));
    }
    let replaced = layers.into_iter().filter(|layer| layer.delta.is_ok());
    saved.replaced = replaced.map(|layer| layer.layer.digest).collect();
    Ok(saved)
}

/// The manifests of images that will be written for a request.
async fn manifests_of(image: &ImageRequest, settings: &Settings) -> Result<Vec<Document>> {
    let target: Arc<dyn Target> = Arc::new(EmptyTarget::new("archive".to_owned()));
    let graph = resolve(image, &target, &settings.retry).await?;
    let is_image = |document: &Document| document.manifest().is_ok_and(ImageManifest::has_diff_ids);
    Ok(graph.documents.into_iter().filter(is_image).collect())
}

/// The layers of an image's manifest, base first; `image` is its name in errors.
pub(in crate::cli) async fn layers_of(
    source: &Arc<dyn Source>,
    image: &str,
    document: &Document,
    settings: &Settings,
) -> Result<Vec<(Descriptor, LayerBlob<'static>)>> {
    let manifest = document.manifest()?;
    let config = read_small(&**source, &manifest.config, CONFIG_LIMIT, settings.retry).await?;
    let config = ImageConfig::parse(&config)?;
    let open =
        |layer: &Descriptor| open_streamed(Arc::clone(source), layer.clone(), settings.retry);
    let blobs = LayerBlob::from_image(image, manifest, &config, open)?;
    Ok(manifest.layers.iter().cloned().zip(blobs).collect())
}

/// The layers of the store that the recipient has too.
fn known_layers(store: &Arc<Layout>, known: &HashSet<Digest>) -> Result<Vec<LayerBlob<'static>>> {
    let held = store.layers_by_diff_id()?.into_iter();
    let blob = |(diff_id, layer): (Digest, Digest)| {
        let name = format!("layer {layer}");
        LayerBlob::new(name, diff_id, 0, open_stored(Arc::clone(store), layer))
    };
    Ok(held.filter(|(_, layer)| known.contains(layer)).map(blob).collect())
}

fn note_savings(layers: &[LayerDelta], settings: &Settings) {
    let made = layers.iter().filter_map(|layer| Some((layer, layer.delta.as_ref().ok()?)));
    let (mut deltas, mut whole) = (0, 0);
    for (layer, delta) in made {
        deltas += delta.size();
        whole += layer.layer.size;
    }
    if whole > 0 && !settings.quiet {
        note(&format!("deltas: {} instead of {}", size(deltas), size(whole)));
    }
}
