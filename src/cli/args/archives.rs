//! What `save` and `load` take.

use std::path::PathBuf;

use clap::Args;

use super::TransferArgs;

#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Images of the store, or places: docker://…, oci:…
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// The archive; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Leave out blobs that the other side has: an inventory, an index.json or an earlier archive
    #[arg(long, value_name = "FILE")]
    pub(crate) since: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The archive, of either form, compressed or not; - is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
}
