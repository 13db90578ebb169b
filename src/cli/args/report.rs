//! Arguments of `report`.

use std::path::PathBuf;

use clap::Args;

use super::shared::OnePlatform;

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Images, or locations: store:…, oci:…, oci-archive:…, docker-archive:…, docker-root:…
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// File to write, `-` for stdout [default: stdout; on a terminal rpull-report.html]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Directory of the local store; without DIR, also show where its bytes go
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "the option has an optional value")]
    pub(crate) store: Option<Option<PathBuf>>,
    /// Also show what runs transferred and shared
    #[arg(long)]
    pub(crate) stats: bool,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
}

impl Report {
    /// Whether the page is about the store: if it was asked for, or nothing else was.
    pub(crate) fn is_about_store(&self) -> bool {
        matches!(self.store, Some(None)) || (self.images.is_empty() && !self.stats)
    }
}
