//! `artifact push` and `artifact attach`.

use std::process::ExitCode;
use std::sync::Arc;

use super::files;
use crate::artifact::Artifact;
use crate::blocking::run_cancellable;
use crate::cli::args::artifact::{ArtifactAttach, ArtifactContent, ArtifactPush};
use crate::cli::image::open::{OpenedLocation, registry, registry_reference};
use crate::cli::image::store_hint::StoreHint;
use crate::cli::labels;
use crate::cli::run::destination::Destination;
use crate::cli::run::report::JsonShape;
use crate::cli::run::transfer_run::{TransferRun, interruptible};
use crate::cli::settings::{Settings, explicit_platform};
use crate::cli::signals::or_cancelled;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::transfer::{ImageRequest, ResolvedImage, resolve_image};

const NOT_IN_REGISTRY: &str = "push the image and attach to it there; `rpull copy --referrers` copies it back with what is attached";

pub(super) async fn push(args: ArtifactPush, settings: &Settings) -> Result<ExitCode> {
    let settings = &interruptible(&labels::PUSH, settings);
    if let Location::Archive { format: crate::archive::ArchiveFormat::Docker, .. } =
        Location::parse(&args.reference, DefaultLocation::Registry)?
    {
        return Err(Error::new(ErrorKind::InvalidInput, &args.reference)
            .with_reason("a docker-archive can hold only images")
            .with_hint("use an `oci-archive:FILE`"));
    }
    let destination = Destination::parse(&args.reference, None)?;
    let target_name = destination.name("")?;
    let reference = destination.reference().unwrap_or_else(|| target_name.to_string());
    let ArtifactPush { artifact_type, content, .. } = args;
    let plan = Sending { command: "artifact push", destination, target_name, reference };
    let (writing, artifact) = build(artifact_type, content, None, settings).await?;
    plan.send(artifact, writing, settings).await
}

pub(super) async fn attach(args: ArtifactAttach, settings: &Settings) -> Result<ExitCode> {
    let settings = &interruptible(&labels::PUSH, settings);
    let image =
        registry_reference(&args.image).map_err(|error| error.with_hint(NOT_IN_REGISTRY))?;
    let platform = explicit_platform(args.platform.as_deref())?;
    let resolving = async {
        let OpenedLocation { source, name, reference, .. } = registry(&image, settings)?;
        resolve_image(&*source, &name, &reference, platform.as_ref(), &settings.retry).await
    };
    let hint = StoreHint::to_push(&args.image, settings);
    let resolving = hint.around(resolving);
    let resolved = or_cancelled(&settings.control.cancel, "attach", resolving).await??;
    let ResolvedImage { manifest, .. } = resolved;
    let ArtifactAttach { artifact_type, content, .. } = args;
    let subject = manifest.descriptor().clone();
    let (writing, artifact) = build(artifact_type, content, Some(subject), settings).await?;
    let digest = artifact.document().digest().clone();
    let reference = format!("{}@{digest}", image.repository_name());
    let destination = Destination::for_push(image.without_name(), None)?;
    let target_name = ImageName::Digest(digest);
    let plan = Sending { command: "artifact attach", destination, target_name, reference };
    plan.send(artifact, writing, settings).await
}

/// `--plan` and `--sync`.
type Flags = (bool, bool);

async fn build(
    artifact_type: String,
    content: ArtifactContent,
    subject: Option<Descriptor>,
    settings: &Settings,
) -> Result<(Flags, Artifact)> {
    let writing = (content.writing.plan, content.writing.sync);
    let build =
        move |control: &Control| files::build(&artifact_type, &content, subject.as_ref(), control);
    let building = run_cancellable(&settings.control, "artifact", build);
    let artifact = or_cancelled(&settings.control.cancel, "artifact", building).await??;
    Ok((writing, artifact))
}

/// Where an artifact goes.
struct Sending {
    command: &'static str,
    destination: Destination,
    target_name: ImageName,
    reference: String,
}

impl Sending {
    async fn send(
        self,
        artifact: Artifact,
        (plan, sync): Flags,
        settings: &Settings,
    ) -> Result<ExitCode> {
        let Self { command, destination, target_name, reference } = self;
        let request = ImageRequest {
            reference,
            target_name,
            ..ImageRequest::new(Arc::new(artifact), ImageName::Only)
        };
        let run = TransferRun::with_defaults(command, plan, sync, settings);
        let (code, _) = run.execute(&[request], &destination, JsonShape::Value, settings).await?;
        Ok(code)
    }
}
