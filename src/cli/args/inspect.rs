//! Arguments of the commands that inspect images.

use std::path::PathBuf;

use clap::Args;

use super::shared::OnePlatform;
use crate::digest::Digest;

#[derive(Debug, Args)]
pub(crate) struct DocumentArgs {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…, docker-root:…
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…, docker-root:…; several with --encoder
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Show which encoder compressed each layer, from its first 256 KiB
    #[arg(long)]
    pub(crate) encoder: bool,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…, docker-root:…
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
    /// Show whole commands and digests
    #[arg(long)]
    pub(crate) no_trunc: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// Show only these paths and what is below them; patterns like `etc/*.conf`, `**/lib*.so` or `*.pyc`
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// Show one layer, counted from the base, which is 0
    #[arg(long, value_name = "N", conflicts_with = "flat")]
    pub(crate) layer: Option<usize>,
    /// Show the files of all layers together, as in a container
    #[arg(long)]
    pub(crate) flat: bool,
    /// Show paths as a tree
    #[arg(long)]
    pub(crate) tree: bool,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
}

#[derive(Debug, Args)]
pub(crate) struct CheckBase {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// Name of the base in a registry, with its tag [default: what the image's annotation says]
    #[arg(long, value_name = "NAME")]
    pub(crate) base: Option<String>,
    /// Digest of the base that the image was built on [default: what the image's annotation says]
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<Digest>,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// File in the image; links are followed inside it
    pub(crate) path: String,
    /// Show the file as this layer has it, counted from the base, which is 0
    #[arg(long, value_name = "N")]
    pub(crate) layer: Option<usize>,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
}

#[derive(Debug, Args)]
pub(crate) struct Blob {
    /// Repository and the blob's digest
    #[arg(value_name = "IMAGE@DIGEST")]
    pub(crate) image: String,
    /// File to write; appears only once verified; - for stdout, also if that is a terminal
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
