//! Arguments of `diff`.

use std::path::PathBuf;

use clap::Args;

use super::shared::OnePlatform;

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…, docker-root:…
    pub(crate) a: String,
    /// The image to compare it with
    pub(crate) b: String,
    /// With `--files`: compare only these paths and what is below them; patterns as of `rpull files`
    #[arg(value_name = "PATH", requires = "files")]
    pub(crate) paths: Vec<String>,
    /// Compare the files too; reads the layers
    #[arg(long)]
    pub(crate) files: bool,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
    /// Write a page for a browser instead, `-` for stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Show whole commands, digests and values
    #[arg(long)]
    pub(crate) no_trunc: bool,
}
