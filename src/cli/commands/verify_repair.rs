//! `verify --repair`: fetches bad blobs again from where their images came.

use crate::cli::output::redacted;
use crate::cli::settings::{ForeignLayers, Settings};
use crate::cli::signals::or_cancelled;
use crate::content::Source as _;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BadBlob, BlobFault, Layout, LayoutRepair};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::registry::Repository;
use crate::transfer::{TransferOptions, fetch_blob};
use crate::verifier::verify;

/// Repairs those of the blobs that can be, and says of the others why not. Returns whether a document was repaired, so
/// that more may be found to be missing.
///
/// # Errors
/// [`ErrorKind::Interrupted`] where it was cancelled; [`ErrorKind::Store`] if the layout is not writable.
pub(super) async fn repair(
    layout: &Layout,
    bad: &mut [BadBlob],
    settings: &Settings,
) -> Result<bool> {
    let writer = layout.begin_repair()?;
    let mut has_new_document = false;
    for blob in bad.iter_mut().filter(|blob| !blob.repaired && blob.not_repaired.is_none()) {
        let fetching = fetch_again(blob, &writer, settings);
        match or_cancelled(&settings.control.cancel, "verify", fetching).await? {
            Ok(()) => {
                blob.repaired = true;
                has_new_document |=
                    blob.descriptor.as_ref().is_some_and(|blob| blob.media_type.is_document());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => blob.not_repaired = Some(redacted(&error.chain())),
        }
    }
    writer.finish()?;
    Ok(has_new_document)
}

async fn fetch_again(bad: &BadBlob, layout: &LayoutRepair, settings: &Settings) -> Result<()> {
    let refuse = |reason: &str| {
        let blob = format!("blob {}", bad.digest.short());
        Err(Error::new(ErrorKind::NotFound, blob).with_reason(reason))
    };
    let descriptor = match &bad.descriptor {
        _ if bad.fault == BlobFault::Invalid => {
            return refuse("its bytes match its digest, so that fetching it again cannot help");
        }
        None => return refuse("no image needs it, and `rpull prune` deletes it"),
        Some(descriptor) => descriptor,
    };
    let mut last = refuse("no repository is recorded that the image came from");
    for origin in &bad.origins {
        last = from_origin(origin, descriptor, layout, settings).await;
        match &last {
            Ok(()) => break,
            Err(error) if matches!(error.kind(), ErrorKind::Store | ErrorKind::Interrupted) => {
                break;
            }
            Err(error) => tracing::info!("{}", error.chain()),
        }
    }
    last
}

async fn from_origin(
    origin: &str,
    descriptor: &Descriptor,
    layout: &LayoutRepair,
    settings: &Settings,
) -> Result<()> {
    let reference: Reference = origin.parse()?;
    let client = settings.client(origin, ForeignLayers::Ignore)?;
    let repository: Repository = client.repository(&reference)?;
    let mut writer = layout.open_blob(descriptor).await?;
    let proof = if descriptor.media_type.is_document() {
        let document = repository.resolve(&ImageName::Digest(descriptor.digest.clone())).await?;
        let proof = verify(descriptor, document.bytes())?;
        writer.truncate().await?;
        writer.write(document.bytes().clone()).await?;
        proof
    } else {
        let options = TransferOptions::default().retry(settings.retry);
        let options = options.control(settings.control.clone());
        fetch_blob(&repository, descriptor, options, &mut *writer).await?
    };
    writer.commit(proof).await
}
