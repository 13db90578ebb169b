//! Arguments of `save` and `load`.

use std::path::PathBuf;

use clap::Args;

use super::transfer::TransferArgs;

#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Images in the store, or locations: docker://…, oci:…
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Archive to write, - for stdout
    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(crate) output: PathBuf,
    /// Omit blobs listed in this inventory (- for stdin), index.json or earlier archive, or of this image in the store
    #[arg(long, value_name = "FILE|IMAGE")]
    pub(crate) since: Option<PathBuf>,
    /// Write deltas in place of layers, from those layers of the store that --since lists
    #[arg(long, requires = "since", conflicts_with = "plan")]
    pub(crate) delta: bool,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// OCI or Docker archive, possibly compressed [default: stdin]
    pub(crate) file: Option<PathBuf>,
    /// Archive to load, as with `docker load --input`
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    pub(crate) input: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
}
