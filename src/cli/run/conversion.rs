//! `--format` and `--compression` of `copy`: the images are converted before they are transferred.

use std::sync::Arc;

use super::transfer_run;
use crate::cli::args::{ConversionArgs, TransferArgs};
use crate::cli::format::NamedFormat;
use crate::cli::output::note;
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::cli::size::plural;
use crate::edit::{ConversionOptions, ConvertedImage, Converter, ImageFormat};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Compression;
use crate::name::ImageName;
use crate::transfer::{ArtifactOptions, ImageRequest, PlatformSelection, TransferOptions};

/// Converts the images of a command.
pub(in crate::cli) struct Conversion(Converter);

impl Conversion {
    /// Parses the options; `None` without any.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for options that do not fit together.
    pub(in crate::cli) fn parse(
        args: &ConversionArgs,
        moving: &TransferArgs,
        artifacts: ArtifactOptions,
        settings: &Settings,
    ) -> Result<Option<Self>> {
        let format = match settings.format {
            Some(NamedFormat::Oci) => Some(ImageFormat::Oci),
            Some(NamedFormat::Docker) => Some(ImageFormat::Docker),
            _ => None,
        };
        let (compression, estargz) = match args.compression.as_deref() {
            Some("zstd") => (Some(Compression::Zstd), false),
            Some(name) => (Some(Compression::Gzip), name == "estargz"),
            None => (None, false),
        };
        if format.is_none() && compression.is_none() {
            return Ok(None);
        }
        if artifacts != ArtifactOptions::default() {
            return Err(Error::new(ErrorKind::InvalidInput, "referrers and digest tags")
                .with_reason("belong to the digest of the original, and the new image has another")
                .with_hint("copy them with the original, without `--format` and `--compression`"));
        }
        let TransferOptions { retry, throttle, control, .. } =
            transfer_run::options(moving, settings)?;
        let level = args.compression_level;
        let options =
            ConversionOptions { format, compression, estargz, level, retry, throttle, control };
        Ok(Some(Self(Converter::new(options)?)))
    }

    /// Replaces each image by the converted one, and says which digest it has now.
    pub(in crate::cli) async fn apply(
        &self,
        requests: Vec<ImageRequest>,
        settings: &Settings,
    ) -> Result<Vec<ImageRequest>> {
        let mut converted = Vec::with_capacity(requests.len());
        for request in requests {
            let work = Box::pin(self.0.convert(&request));
            let new = or_cancelled(&settings.control.cancel, "convert", work).await??;
            let Some(new) = new else {
                if !settings.quiet {
                    note(&format!("{}: nothing to convert", request.reference));
                }
                converted.push(request);
                continue;
            };
            if !settings.quiet {
                for line in summary(&request.reference, &new) {
                    note(&line);
                }
            }
            converted.push(ImageRequest {
                source: Arc::new(new.image),
                name: ImageName::Only,
                // Only the requested ones are in it.
                platforms: PlatformSelection::All,
                ..request
            });
        }
        Ok(converted)
    }
}

/// The lines about a converted image.
fn summary(reference: &str, new: &ConvertedImage) -> [String; 3] {
    let digest = new.image.document().digest();
    let done = match new.recompressed {
        0 => "converted".to_owned(),
        count => format!("{} recompressed", plural(count as u64, "layer")),
    };
    let left_out = match new.left_out {
        0 => String::new(),
        count => {
            let attestations = plural(count as u64, "attestation");
            format!("; left out {attestations}, which Docker's format does not have")
        }
    };
    // Digests on lines of their own: they are compared, and too long for a sentence.
    [
        format!("{reference}: {done}{left_out}"),
        format!("  old digest {}", new.original),
        format!("  new digest {digest}"),
    ]
}
