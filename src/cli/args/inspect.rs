//! Arguments of the commands that inspect images.

use std::path::PathBuf;

use clap::Args;

use super::shared::OnePlatform;

#[derive(Debug, Args)]
pub(crate) struct DocumentArgs {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
    /// Show whole commands and digests
    #[arg(long)]
    pub(crate) no_trunc: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Blob {
    /// Repository and the blob's digest
    #[arg(value_name = "IMAGE@DIGEST")]
    pub(crate) image: String,
    /// File to write; appears only once verified
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
