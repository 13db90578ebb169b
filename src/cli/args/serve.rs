//! What `serve` takes.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen; without a host on loopback, port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5000")]
    pub(crate) addr: String,
    /// Take nothing, delete nothing
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Take indexes whose manifests, and manifests whose layers, are not all here
    #[arg(long)]
    pub(crate) sparse: bool,
    /// Let in the users of this file only; its hashes must be bcrypt
    #[arg(long, value_name = "FILE")]
    pub(crate) htpasswd: Option<PathBuf>,
    /// PEM file with the certificate to show, its chain behind it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Answer to this name of the host too while listening on loopback only; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
}
