//! Options for connecting to a registry.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::shared::REGISTRY;
use crate::duration::parse_duration;

/// Options for connecting to a registry.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = REGISTRY)]
pub(crate) struct RegistryArgs {
    /// Use plain HTTP (the default for loopback)
    #[arg(long, global = true)]
    pub(crate) plain_http: bool,
    /// Do not verify TLS certificates; use plain HTTP if the registry does not support TLS
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
    /// Host in a private network that registries may refer to, for tokens or blobs (repeatable)
    #[arg(long, global = true, value_name = "HOST", value_parser = internal_host)]
    pub(crate) internal_host: Vec<url::Host<String>>,
    /// Additional CA certificates to trust (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Client certificate (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cert_file: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read credentials from this file only
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// User name and password for the registry
    #[arg(long, global = true, value_name = "USER:PASS", conflicts_with = "authfile")]
    pub(crate) creds: Option<String>,
    /// Mirrors as containerd has them: a directory with `<registry>/hosts.toml` [default: those of containerd, else those of podman]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) hosts_dir: Option<PathBuf>,
    /// Do not use the mirrors that other tools are configured for
    #[arg(long, global = true, conflicts_with = "hosts_dir")]
    pub(crate) no_mirrors: bool,
    /// Retries after a failed attempt, 0 for none [default: 4, or as long as --retry-for if the host has responded before]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) retries: Option<u32>,
    /// How long to keep retrying a host that has responded before, and longest `Retry-After` to honor: 90 or 90s, 5m, 1h [default:
    /// 120, and 60 for `Retry-After`]
    #[arg(long, global = true, value_name = "TIME", value_parser = seconds_or_duration)]
    pub(crate) retry_for: Option<Duration>,
}

/// Accepts a number of seconds, or a duration.
fn seconds_or_duration(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => parse_duration(text),
    }
}

/// Accepts a host without a port: trust in a host does not depend on the port.
pub(super) fn internal_host(text: &str) -> Result<url::Host<String>, String> {
    if let Ok(ip) = text.parse::<std::net::Ipv6Addr>() {
        return Ok(url::Host::Ipv6(ip));
    }
    url::Host::parse(text).map_err(|_| "expected a host name or address without a port".to_owned())
}
