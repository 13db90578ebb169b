//! `verify --repair`: fetches bad blobs again from where their images came, several at once.

use std::sync::OnceLock;

use futures_util::{StreamExt as _, stream};

use crate::cli::output::redacted;
use crate::cli::settings::{ForeignLayers, Settings};
use crate::cli::signals::or_cancelled;
use crate::content::Source as _;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BadBlob, BlobFault, Layout, LayoutRepair};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::registry::{Client, Repository};
use crate::transfer::{TransferOptions, fetch_blob, read_elsewhere};
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
    let repair = Repair { writer: layout.begin_repair()?, client: OnceLock::new(), settings };
    // Which images need the other blobs shows once their manifests are back.
    let can_decide = bad.iter().all(|blob| blob.repaired || !is_document(blob));
    let is_due = |blob: &&mut BadBlob| is_left(blob) && (can_decide || blob.descriptor.is_some());
    let left = bad.iter_mut().filter(is_due);
    let fetching = left.map(async |blob| {
        let fetched = repair.fetch_again(blob).await;
        (blob, fetched)
    });
    let mut fetching = stream::iter(fetching).buffer_unordered(TransferOptions::default().jobs);
    let mut has_new_document = false;
    let cancel = &settings.control.cancel;
    while let Some((blob, fetched)) = or_cancelled(cancel, "verify", fetching.next()).await? {
        match fetched {
            Ok(()) => {
                blob.repaired = true;
                has_new_document |= is_document(blob);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => blob.not_repaired = Some(redacted(&error.chain())),
        }
    }
    drop(fetching);
    if !has_new_document {
        for blob in bad.iter_mut().filter(|blob| is_left(blob)) {
            let reason = "whether an image needs it is unknown without the damaged manifests";
            blob.not_repaired = Some(reason.to_owned());
        }
    }
    repair.writer.finish()?;
    Ok(has_new_document)
}

/// Whether its repair was not tried yet.
fn is_left(blob: &BadBlob) -> bool {
    !blob.repaired && blob.not_repaired.is_none()
}

fn is_document(blob: &BadBlob) -> bool {
    blob.descriptor.as_ref().is_some_and(|descriptor| descriptor.media_type.is_document())
}

/// Where blobs are fetched from and written to.
struct Repair<'a> {
    writer: LayoutRepair,
    /// The client for all repositories, once one is needed.
    client: OnceLock<Client>,
    settings: &'a Settings,
}

impl Repair<'_> {
    async fn fetch_again(&self, bad: &BadBlob) -> Result<()> {
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
            last = self.fetch_from(origin, descriptor).await;
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

    async fn fetch_from(&self, origin: &str, descriptor: &Descriptor) -> Result<()> {
        let repository = self.repository(origin)?;
        let mut writer = self.writer.open_blob(descriptor).await?;
        let proof = if descriptor.media_type.is_document() {
            let document =
                repository.resolve(&ImageName::Digest(descriptor.digest.clone())).await?;
            let proof = verify(descriptor, document.bytes())?;
            writer.truncate().await?;
            writer.write(document.bytes().clone()).await?;
            proof
        } else {
            let fetch = async || {
                let options = TransferOptions::default().retry(self.settings.retry);
                let options = options.control(self.settings.control.clone());
                fetch_blob(&repository, descriptor, options, &mut *writer).await
            };
            read_elsewhere(fetch).await?
        };
        writer.commit(proof).await
    }

    fn repository(&self, origin: &str) -> Result<Repository> {
        let reference: Reference = origin.parse()?;
        let client = if let Some(client) = self.client.get() {
            client
        } else {
            let client = self.settings.client(origin, ForeignLayers::Ignore)?;
            self.client.get_or_init(|| client)
        };
        client.repository(&reference)
    }
}
