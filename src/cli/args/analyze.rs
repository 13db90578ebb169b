//! Arguments of `analyze`.

use std::path::PathBuf;

use clap::Args;

use super::shared::OnePlatform;
use crate::cli::size::parse_size;
use crate::insight::analyze::limits::MaxWaste;

#[derive(Debug, Args)]
pub(crate) struct Analyze {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
    /// Exit with 1 if the efficiency is lower: 0.95 or 95%
    #[arg(long, value_name = "SCORE", value_parser = score)]
    pub(crate) fail_under: Option<f64>,
    /// Exit with 1 if more is wasted: 20MB, or 5% of all files
    #[arg(long, value_name = "BYTES|PERCENT", value_parser = max_waste)]
    pub(crate) max_waste: Option<MaxWaste>,
    /// Exit with 1 if a rule of this file is broken [without a file: .dive-ci]
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ".dive-ci"
    )]
    pub(crate) ci: Option<PathBuf>,
    /// Exit with 1 if the base has changed or is not named, as of `rpull check-base`
    #[arg(long)]
    pub(crate) check_base: bool,
    /// Show whole commands and all paths
    #[arg(long)]
    pub(crate) no_trunc: bool,
}

/// Parses a ratio, as a number from 0 to 1, or in percent.
fn score(text: &str) -> Result<f64, String> {
    let number = percentage(text.strip_suffix('%').unwrap_or(text));
    match number {
        Some(ratio) if ratio <= 1.0 && !text.ends_with('%') => Ok(ratio),
        Some(percent) => Ok(percent / 100.0),
        None => Err("expected a ratio such as 0.95, or a percentage such as 95%".to_owned()),
    }
}

fn max_waste(text: &str) -> Result<MaxWaste, String> {
    let waste = match text.strip_suffix('%') {
        Some(number) => percentage(number).map(MaxWaste::Percent),
        None => parse_size(text).map(MaxWaste::Bytes),
    };
    waste.ok_or_else(|| "expected bytes such as 20MB, or a percentage such as 5%".to_owned())
}

fn percentage(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_is_ratio_or_percentage() {
        for (text, ratio) in [("0.95", 0.95), ("1", 1.0), ("95%", 0.95), ("90", 0.9), ("0", 0.0)] {
            assert!((score(text).unwrap() - ratio).abs() < 1e-9, "{text}");
        }
        assert!((score("1%").unwrap() - 0.01).abs() < 1e-9);
        for bad in ["", "-1", "101", "nan", "x%", "inf"] {
            assert!(score(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn waste_is_bytes_or_percentage() {
        assert_eq!(max_waste("20MB"), Ok(MaxWaste::Bytes(20_000_000)));
        assert_eq!(max_waste("0"), Ok(MaxWaste::Bytes(0)));
        assert_eq!(max_waste("2.5%"), Ok(MaxWaste::Percent(2.5)));
        assert!(max_waste("much").is_err() && max_waste("200%").is_err());
    }
}
