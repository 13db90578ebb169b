//! Arguments of `delta`.

use std::path::PathBuf;

use clap::Args;

use super::shared::OnePlatform;

#[derive(Debug, Args)]
#[group(id = "carrier", required = true, args = ["output", "push"])]
pub(crate) struct Delta {
    /// Image that the recipient has: in the store or a registry, or a location: oci:…, oci-archive:…
    pub(crate) old: String,
    /// Image to make deltas of, likewise
    pub(crate) new: String,
    /// Archive to write, - for stdout: the image, with deltas in place of layers
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Push the deltas to NEW's repository, as an artifact that refers to the image
    #[arg(long, conflicts_with = "output")]
    pub(crate) push: bool,
    /// Level of zstd: 19 makes smaller deltas than 9, and takes 15 times as long
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(i32).range(1..=22))]
    pub(crate) level: i32,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
}
