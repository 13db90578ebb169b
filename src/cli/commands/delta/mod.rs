//! `delta`: makes deltas of the layers of an image.

mod table;

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use self::table::{json_of_layers, layer_table};
use crate::archive::ArchiveOutput;
use crate::artifact::Artifact;
use crate::blocking::run_cancellable;
use crate::cli::args::Delta;
use crate::cli::exit;
use crate::cli::image::layer_source::LayerSource;
use crate::cli::image::open::OpenedImage;
use crate::cli::labels;
use crate::cli::output::{self, note, stderr_text};
use crate::cli::run::destination::Destination;
use crate::cli::run::new_archive::{NewArchive, archive_output, check_stdout};
use crate::cli::run::save_deltas::{archive_name, artifact_request};
use crate::cli::run::transfer_run::{TransferRun, interruptible};
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::control::Control;
use crate::delta::MakeOptions;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image_delta::{LayerDelta, delta_artifact, make_deltas};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::transfer::{ImageRequest, ImageResult, PlatformRequest, PlatformSelection};

pub(in crate::cli) async fn run(args: Delta, settings: &Settings) -> Result<ExitCode> {
    let repository = args.push.then(|| new_in_registry(&args.new)).transpose()?;
    let output = args.output.as_deref().map(archive_output);
    if let Some(output) = &output {
        check_output(output, settings)?;
    }
    let labels = if args.push { &labels::PUSH } else { &labels::SAVE };
    let settings = &interruptible(labels, settings);
    let cancel = &settings.control.cancel;
    let typed = args.platform.platform.as_deref();
    let opening = async {
        let old = OpenedImage::open_with_layers(&args.old, typed, settings).await?;
        let new = OpenedImage::open_with_layers(&args.new, typed, settings).await?;
        Ok::<_, Error>((old, new))
    };
    let (old, new) = Box::pin(or_cancelled(cancel, "delta", opening)).await??;
    let layers = or_cancelled(cancel, "delta", make(&old, &new, args.level, settings)).await??;
    let subject = new.manifest_document.descriptor();
    let source = old.manifest_document.digest();
    let artifact = delta_artifact(subject, Some(source), &layers)?;
    if output == Some(ArchiveOutput::Stdout) {
        stderr_text(&layer_table(&layers));
    } else if !settings.json {
        output::text(&layer_table(&layers))?;
    }
    let results = match (output, &repository, artifact.clone()) {
        (Some(output), _, artifact) => {
            write(output, &old, &new, &layers, artifact, settings).await?
        }
        (None, Some(repository), Some(artifact)) => push(artifact, repository, settings).await?,
        (None, _, _) => Vec::new(),
    };
    if settings.json {
        output::json(&json!({
            "reference": new.opened.reference,
            "manifest": subject.digest,
            "artifact": artifact.as_ref().map(|artifact| artifact.document().digest()),
            "layers": json_of_layers(&layers),
        }))?;
    } else if artifact.is_none() && !layers.is_empty() && !settings.quiet {
        note("no layer has a delta that is small enough");
    }
    let errors = results.iter().filter_map(ImageResult::first_error);
    // A failure of the archive is one of both images in it.
    let mut reported = HashSet::new();
    for error in errors.clone().filter(|error| reported.insert(error.chain())) {
        exit::report(error);
    }
    Ok(exit::code_of_all(errors))
}

/// Checks what can be known of the archive before deltas are made, which takes long.
fn check_output(output: &ArchiveOutput, settings: &Settings) -> Result<()> {
    check_stdout(output, settings)?;
    let ArchiveOutput::File(path) = output else { return Ok(()) };
    let refuse = |reason: &str| {
        let error = Error::new(ErrorKind::Store, "archive").at(path.display().to_string());
        Err(error.with_reason(reason))
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match directory {
        _ if path.is_dir() => refuse("is a directory"),
        Some(directory) if !directory.is_dir() => refuse("its directory does not exist"),
        _ => Ok(()),
    }
}

/// The image in a registry whose repository gets the deltas.
fn new_in_registry(text: &str) -> Result<Reference> {
    match Location::parse(text, DefaultLocation::StoreOrRegistry)? {
        Location::Registry(reference) | Location::StoreOrRegistry(reference) => Ok(reference),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("image `{text}`"))
            .with_reason("`--push` needs an image in a registry")
            .with_hint("write an archive with `-o FILE`, or push the image first")),
    }
}

/// Makes deltas of the layers of `new` that `old` does not have.
async fn make(
    old: &OpenedImage,
    new: &OpenedImage,
    level: i32,
    settings: &Settings,
) -> Result<Vec<LayerDelta>> {
    let known: HashSet<&Digest> =
        old.manifest()?.layers.iter().map(|layer| &layer.digest).collect();
    let descriptors = &new.manifest()?.layers;
    let is_new = |layer: &Descriptor| !known.contains(&layer.digest);
    if !descriptors.iter().any(is_new) {
        return Ok(Vec::new());
    }
    let old_layers = LayerSource::new(old, settings).layers(old, settings)?;
    let new_layers = LayerSource::new(new, settings).layers(new, settings)?;
    let new_layers = descriptors.iter().cloned().zip(new_layers);
    let new_layers = new_layers.filter(|(layer, _)| is_new(layer)).collect();
    let make = move |control: &Control| {
        let options = MakeOptions::default().level(level).control(control.clone());
        make_deltas(old_layers, new_layers, &options)
    };
    run_cancellable(&settings.control, "delta", make).await
}

/// Pushes the artifact to the repository of the image.
async fn push(
    artifact: Artifact,
    image: &Reference,
    settings: &Settings,
) -> Result<Vec<ImageResult>> {
    let destination = Destination::for_push(image.without_name(), None)?;
    let name = ImageName::Digest(artifact.document().digest().clone());
    let request = artifact_request(&image.to_string(), artifact, name);
    let run = TransferRun::with_defaults("delta", false, false, settings);
    run.transfer(&[request], &destination, settings).await
}

/// Writes the image and the artifact to an archive, without what the old image has and the layers that have deltas.
async fn write(
    output: ArchiveOutput,
    old: &OpenedImage,
    new: &OpenedImage,
    layers: &[LayerDelta],
    artifact: Option<Artifact>,
    settings: &Settings,
) -> Result<Vec<ImageResult>> {
    let rebuilt = layers.iter().filter(|layer| layer.delta.is_ok());
    let omitted: HashSet<Digest> = old
        .manifest()?
        .blobs()
        .map(|blob| &blob.digest)
        .chain(rebuilt.map(|layer| &layer.layer.digest))
        .cloned()
        .collect();
    let archive = NewArchive::hybrid(output)?.without(omitted);
    let destination = Destination::Archive(archive, ImageName::Only);
    let opened = &new.opened;
    let platform = PlatformRequest::exact(new.config.platform());
    let image = ImageRequest {
        reference: opened.reference.clone(),
        target_name: destination.name(&opened.full_name)?,
        platforms: PlatformSelection::Single(platform),
        ..ImageRequest::new(Arc::clone(&opened.source), opened.name.clone())
    };
    let mut requests = vec![image];
    requests.extend(artifact.map(|artifact| {
        let name = archive_name(&opened.full_name, &artifact);
        artifact_request(&opened.reference, artifact, name)
    }));
    let run = TransferRun::with_defaults("delta", false, false, settings);
    run.transfer(&requests, &destination, settings).await
}
