//! What `pull`, `push` and `copy` take, and what they have in common.

use std::path::PathBuf;

use clap::Args;

use super::REGISTRY;

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Images to pull
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Somewhere else than the store, which is then neither read nor written
    #[arg(short, long, value_name = "PLACE")]
    pub(crate) output: Option<String>,
    /// Every tag of the repository
    #[arg(long)]
    pub(crate) all_tags: bool,
    /// Make the image's files there while its layers arrive, as `unpack` does
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "all_tags", "plan", "all_platforms"])]
    pub(crate) unpack: Option<PathBuf>,
    /// With a directory for each layer, as `unpack --overlay` has them
    #[arg(long, requires = "unpack")]
    pub(crate) overlay: bool,
    /// Keep only the files, not the image
    #[arg(long, requires = "unpack")]
    pub(crate) no_store: bool,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// What to send [default: the image of that name in the store], and what it is to be called
    #[arg(required = true, num_args = 1..=2, value_name = "[SRC] IMAGE")]
    pub(crate) images: Vec<String>,
    /// Upload in chunks, for proxies that take no large bodies; whole chunks survive a kill
    #[arg(long, value_name = "SIZE")]
    pub(crate) chunk_size: Option<String>,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Image, or a place: store:…, oci:…, oci-archive:…, docker-archive:…
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// Image, or a place: store:…, oci:…, oci-archive:…, docker-archive:…
    #[arg(value_name = "DST")]
    pub(crate) destination: String,
    /// Every tag of the repository SRC, each under its own name in the repository or place DST
    #[arg(long)]
    pub(crate) all_tags: bool,
    /// Also what refers to the image: signatures, SBOMs and what else a registry lists so
    #[arg(long)]
    pub(crate) referrers: bool,
    /// Also what cosign keeps under tags made of digests: .sig, .att and .sbom
    #[arg(long)]
    pub(crate) digest_tags: bool,
    /// Upload in chunks, for proxies that take no large bodies
    #[arg(long, value_name = "SIZE")]
    pub(crate) chunk_size: Option<String>,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
    #[command(flatten)]
    pub(crate) sides: SideArgs,
}

/// How content is moved.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that can be typed")]
pub(crate) struct TransferArgs {
    /// os/arch[/variant]; may be repeated
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Vec<String>,
    /// Everything that the index lists
    #[arg(long, conflicts_with = "platform")]
    pub(crate) all_platforms: bool,
    /// Print what would happen, move nothing
    #[arg(long)]
    pub(crate) plan: bool,
    /// Move layers too that registries need not hold
    #[arg(long)]
    pub(crate) foreign_layers: bool,
    /// Blobs on their way at once
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Bytes per second for the whole run: 500k, 2M
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<String>,
    /// Return only when everything would survive a power failure
    #[arg(long)]
    pub(crate) sync: bool,
}

/// How to reach the registries of two sides, where they differ.
#[derive(Debug, Args)]
#[command(next_help_heading = REGISTRY)]
pub(crate) struct SideArgs {
    /// As --creds, for the source only
    #[arg(long, value_name = "USER:PASS", conflicts_with = "src_authfile")]
    pub(crate) src_creds: Option<String>,
    /// As --creds, for the destination only
    #[arg(long, value_name = "USER:PASS", conflicts_with = "dest_authfile")]
    pub(crate) dest_creds: Option<String>,
    /// As --authfile, for the source only
    #[arg(long, value_name = "FILE")]
    pub(crate) src_authfile: Option<PathBuf>,
    /// As --authfile, for the destination only
    #[arg(long, value_name = "FILE")]
    pub(crate) dest_authfile: Option<PathBuf>,
    /// As --plain-http, for the source only
    #[arg(long)]
    pub(crate) src_plain_http: bool,
    /// As --plain-http, for the destination only
    #[arg(long)]
    pub(crate) dest_plain_http: bool,
}
