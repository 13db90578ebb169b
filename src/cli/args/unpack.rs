//! Arguments of `unpack` and `export`.

use std::path::PathBuf;

use clap::Args;

use super::shared::OnePlatform;
use super::transfer::TransferArgs;

#[derive(Debug, Args)]
pub(crate) struct Unpack {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…, docker-root:…
    pub(crate) image: String,
    /// Directory to unpack into
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
    #[command(flatten)]
    pub(crate) layers: OverlayArgs,
    /// Keep set-user-ID and set-group-ID bits even when not root
    #[arg(long)]
    pub(crate) preserve: bool,
    /// Do not keep the image in the store if it has to be pulled
    #[arg(long)]
    pub(crate) no_store: bool,
    /// Sync all data to disk before exiting
    #[arg(long)]
    pub(crate) sync: bool,
    /// Set by `pull --unpack`: options of a pull that runs even if the store has the image.
    #[arg(skip)]
    pub(crate) pull: Option<TransferArgs>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…, docker-root:…
    pub(crate) image: String,
    /// Tar to write, - for stdout [default: -]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
    /// Sync all data to disk before exiting
    #[arg(long)]
    pub(crate) sync: bool,
}

/// Options for unpacking into overlay directories.
#[derive(Debug, Args)]
pub(crate) struct OverlayArgs {
    /// Unpack into one directory per layer, ready for overlayfs; images can share DIR
    #[arg(long)]
    pub(crate) overlay: bool,
    /// Mount the merged layers read-only at this directory
    #[arg(long, value_name = "POINT", requires = "overlay")]
    pub(crate) mount: Option<PathBuf>,
}
