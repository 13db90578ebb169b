//! What `unpack` takes.

use std::path::PathBuf;

use clap::Args;

use super::{Moving, OnePlatform};

#[derive(Debug, Args)]
pub(crate) struct Unpack {
    /// Image, or a place: store:…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    /// Where its files go
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
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
    pub(crate) pull: Option<Moving>,
}
