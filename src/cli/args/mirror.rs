//! Arguments of `mirror`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::transfer::TransferArgs;

#[derive(Debug, Args)]
pub(crate) struct Mirror {
    /// File that lists what to mirror, or - for stdin
    #[arg(required_unless_present_any = ["from_stdin", "schema"], value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Read one `SRC DST` per line from stdin instead of a file
    #[arg(long, conflicts_with = "file")]
    pub(crate) from_stdin: bool,
    /// Print the JSON schema of the file
    #[arg(long, conflicts_with_all = ["file", "from_stdin"])]
    pub(crate) schema: bool,
    /// Remember here what was mirrored, to save requests [default: a file in ~/.local/state/rpull]
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<PathBuf>,
    /// Mirror only part K of N; all images of a target repository are in the same part
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<Shard>,
    #[command(flatten)]
    pub(crate) moving: TransferArgs,
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
