//! Arguments of `pull`, `push` and `copy`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::sides::{DestinationArgs, SourceArgs};
use crate::transfer::TransferOptions;

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Images to pull
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Write to this location instead of the store
    #[arg(short, long, value_name = "LOCATION")]
    pub(crate) output: Option<String>,
    /// Pull all tags of the repository
    #[arg(long, short = 'a')]
    pub(crate) all_tags: bool,
    /// Unpack the image into this directory while downloading
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "all_tags", "plan", "all_platforms"])]
    pub(crate) unpack: Option<PathBuf>,
    /// Unpack into one directory per layer, as `unpack --overlay`
    #[arg(long, requires = "unpack")]
    pub(crate) overlay: bool,
    /// Do not keep the image in the store
    #[arg(long, requires = "unpack")]
    pub(crate) no_store: bool,
    /// Rebuild layers from those in the store and a delta, if that is faster (auto)
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) delta: DeltaMode,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Image to push [default: IMAGE in the store], and its name in the registry
    #[arg(required = true, num_args = 1..=2, value_name = "[SRC] IMAGE")]
    pub(crate) images: Vec<String>,
    /// Upload in chunks of this size, for proxies that limit request bodies
    #[arg(long, value_name = "SIZE")]
    pub(crate) chunk_size: Option<String>,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…, docker-root:…
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…
    #[arg(value_name = "DST")]
    pub(crate) destination: String,
    /// Copy all tags of the repository SRC to the repository or location DST, names unchanged
    #[arg(long)]
    pub(crate) all_tags: bool,
    /// Include referrers of the image: signatures, SBOMs and other artifacts
    #[arg(long)]
    pub(crate) referrers: bool,
    /// Include digest tags of the image, as cosign uses: .sig, .att and .sbom
    #[arg(long)]
    pub(crate) digest_tags: bool,
    /// Rebuild layers from those at the target and a delta, if that is faster (auto)
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) delta: DeltaMode,
    /// Upload in chunks of this size, for proxies that limit request bodies
    #[arg(long, value_name = "SIZE")]
    pub(crate) chunk_size: Option<String>,
    #[command(flatten)]
    pub(crate) conversion: ConversionArgs,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
    #[command(flatten)]
    pub(crate) source_options: SourceArgs,
    #[command(flatten)]
    pub(crate) destination_options: DestinationArgs,
}

/// When layers are rebuilt from deltas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeltaMode {
    #[default]
    Auto,
    Always,
    Never,
}

/// Options that make a new image of the one that is copied.
#[derive(Debug, Args)]
pub(crate) struct ConversionArgs {
    /// Compress layers anew, except those that are compressed so already
    #[arg(long, value_name = "NAME", value_parser = ["gzip", "zstd", "estargz"])]
    pub(crate) compression: Option<String>,
    /// Level of the compression: 1 to 9 for gzip, 1 to 22 for zstd [default: 6 or 3]
    #[arg(long, value_name = "N", requires = "compression")]
    pub(crate) compression_level: Option<u32>,
}

/// Options of every transfer.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct TransferArgs {
    /// Platform as os/arch[/variant] (repeatable)
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Vec<String>,
    /// All platforms of the index
    #[arg(long, alias = "all", conflicts_with = "platform")]
    pub(crate) all_platforms: bool,
    /// Print what would be transferred, without doing it
    #[arg(long)]
    pub(crate) plan: bool,
    /// Include foreign (non-distributable) layers
    #[arg(long)]
    pub(crate) foreign_layers: bool,
    /// Maximum concurrent blob transfers [default: 6, or 16 small ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: Option<u16>,
    /// Maximum connections to a registry for blobs [default: 16, or --jobs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) connections: Option<u16>,
    /// Maximum memory for parts of blobs that arrive early
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub(crate) window: String,
    /// Maximum bytes per second for the whole run: 500k, 2M
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<String>,
    /// Stop after this many new bytes of blobs: 500MB, 2G; the next run continues
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_bytes: Option<String>,
    /// Sync all data to disk before exiting
    #[arg(long)]
    pub(crate) sync: bool,
}

impl TransferArgs {
    /// Returns how many blobs of any size move concurrently.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.map_or(TransferOptions::default().jobs, usize::from)
    }
}
