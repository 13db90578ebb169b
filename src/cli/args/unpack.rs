//! What `unpack` and `export` take.

use std::path::PathBuf;

use clap::Args;

use super::{OnePlatform, TransferArgs};

#[derive(Debug, Args)]
pub(crate) struct Unpack {
    /// Image, or a place: store:…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// Where its files go
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
    #[command(flatten)]
    pub(crate) layers: OverlayArgs,
    /// Keep set-id bits though not root: they lend your rights to whoever runs the file
    #[arg(long)]
    pub(crate) preserve: bool,
    /// Take an image that the store lacks from its registry without keeping it
    #[arg(long)]
    pub(crate) no_store: bool,
    /// Do not end before all of it is on disk
    #[arg(long)]
    pub(crate) sync: bool,
    /// How a pull is to bring it, whatever the store has under its name.
    #[arg(skip)]
    pub(crate) pull: Option<TransferArgs>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Image, or a place: store:…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// The tar; standard output where none is given, or -
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
    /// Do not end before all of it is on disk
    #[arg(long)]
    pub(crate) sync: bool,
}

/// Whether layers stay apart.
#[derive(Debug, Args)]
pub(crate) struct OverlayArgs {
    /// One directory per layer, as docker's overlay2 has them; images may share DIR, and have layers in common
    #[arg(long)]
    pub(crate) overlay: bool,
    /// Mount them there, one over the other, to be read
    #[arg(long, value_name = "POINT", requires = "overlay")]
    pub(crate) mount: Option<PathBuf>,
}
