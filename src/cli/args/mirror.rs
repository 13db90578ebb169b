//! Arguments of `mirror`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::offering::Offering;
use super::transfer::TransferArgs;
use crate::duration::parse_duration;
use crate::mirror::{Cron, FileFormat};

/// What follows the options in the help.
pub(super) const HELP: &str = "Examples:
  rpull mirror --plan mirror.yaml                 what would be transferred
  rpull mirror mirror.yaml
  rpull mirror --shard 1/3 --json mirror.yaml
  echo alpine:3.20 reg.local/alpine:3.20 | rpull mirror --from-stdin
  rpull mirror regsync.yaml                       a file for regsync, as it is
  rpull mirror --to reg.local/m sync.yaml         one for `skopeo sync --src yaml`
  rpull mirror --delete --max-delete 10 mirror.yaml
  rpull mirror --watch 10m --metrics :9400 mirror.yaml
  rpull mirror --watch '30 2 * * mon-fri' mirror.yaml
  rpull mirror --schema > mirror.schema.json      for editors

The file is YAML; docs/mirror.md has all keys:
  mirror:
    - from: alpine                                all tags, or the selected ones
      tags: { include: [latest], semver: '>=3.18', latest: 3 }
      to: [reg.local/m/alpine, 'oci:/srv/alpine']
      platforms: [linux/amd64, linux/arm64]

Every blob is read once for all targets, and repositories of a registry mount blobs from each
other. Images that have not changed cost one HEAD at each end. An image that fails stops no
other; the exit code is that of the first one that failed.";

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Mirror {
    /// File that lists what to mirror, or - for stdin
    #[arg(required_unless_present_any = ["from_stdin", "schema"], value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Read one `SRC DST` per line from stdin instead of a file
    #[arg(long, conflicts_with = "file")]
    pub(crate) from_stdin: bool,
    /// Tool that the file is for: rpull, skopeo or regsync [default: recognized by its keys]
    #[arg(
        long,
        value_name = "TOOL",
        conflicts_with_all = ["from_stdin", "schema"],
        value_parser = Offering::new(&["rpull", "skopeo", "regsync"], FileFormat::from_str),
        hide_possible_values = true
    )]
    pub(crate) from: Option<FileFormat>,
    /// Where the images of a file for `skopeo sync` go: a registry with or without a path, oci:DIR
    #[arg(long, value_name = "LOCATION", conflicts_with_all = ["from_stdin", "schema"])]
    pub(crate) to: Option<String>,
    /// Keep registry and repository of each image in its name below --to, as `skopeo sync --scoped`
    #[arg(long, requires = "to")]
    pub(crate) scoped: bool,
    /// Print the JSON schema of the file
    #[arg(long, conflicts_with_all = ["file", "from_stdin"])]
    pub(crate) schema: bool,
    /// Remember here what was mirrored, to save requests [default: a file in ~/.local/state/rpull]
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<PathBuf>,
    /// Mirror only part K of N; all images of a target repository are in the same part
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<Shard>,
    /// Delete tags that the file no longer selects, in the repositories and layouts that it names as targets
    #[arg(long, conflicts_with_all = ["from_stdin", "schema"])]
    pub(crate) delete: bool,
    /// Maximum tags to delete; if there are more, none is deleted
    #[arg(long, value_name = "N", default_value_t = 0, requires = "delete")]
    pub(crate) max_delete: usize,
    /// Mirror again and again, at this interval (30s, 10m, 1h 30m), or at times as in crontab ('17 */2 * * *')
    #[arg(long, value_name = "INTERVAL|CRON")]
    #[arg(conflicts_with_all = ["from_stdin", "schema", "plan"])]
    pub(crate) watch: Option<WatchTimes>,
    /// With --watch, serve /metrics and /healthz at this address; without a host on loopback
    #[arg(long, value_name = "ADDRESS", requires = "watch")]
    pub(crate) metrics: Option<String>,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
}

/// When `--watch` runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WatchTimes {
    /// Between the starts of two runs.
    Interval(Duration),
    Cron(Cron),
}

impl FromStr for WatchTimes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let interval = parse_duration(text).ok();
        if let Some(interval) = interval.filter(|interval| *interval >= Duration::from_secs(1)) {
            return Ok(Self::Interval(interval));
        }
        if text.contains('*') || text.split_whitespace().count() == 5 {
            return Cron::parse(text).map(Self::Cron);
        }
        Err("expected an interval such as 30s or 10m, or five fields as in crontab".to_owned())
    }
}

/// A part of the images: `1/3` is the first of three.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard {
    /// From 0.
    pub(crate) part: u64,
    pub(crate) parts: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(part, parts)| {
            Some((part.parse::<u64>().ok()?.checked_sub(1)?, parts.parse::<u64>().ok()?))
        });
        match numbers {
            Some((part, parts)) if part < parts => Ok(Self { part, parts }),
            _ => Err("expected K/N, with K from 1 to N".to_owned()),
        }
    }
}
