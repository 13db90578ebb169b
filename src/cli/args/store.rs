//! What the verbs take that keep the store in order.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// An image in the store; with `docker://NAME`, one in the same repository
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// Its further name
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names to remove
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// From this directory of layers instead of the store
    #[arg(long, value_name = "DIR")]
    pub(crate) overlay: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Print what would be freed, delete nothing
    #[arg(long)]
    pub(crate) plan: bool,

    /// Also delete what arrived of blobs whose pull failed less than a day ago
    #[arg(long)]
    pub(crate) partials: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Only what these need; or a place: docker://…, oci:…, oci-archive:…, docker-archive:…
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}
