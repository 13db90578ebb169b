//! Arguments of `serve`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on; loopback if HOST is omitted, a free port for port 0
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5000")]
    pub(crate) addr: String,
    /// Reject pushes and deletes
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Accept indexes with missing manifests, and manifests with missing layers
    #[arg(long)]
    pub(crate) sparse: bool,
    /// Require users from this htpasswd file (bcrypt only)
    #[arg(long, value_name = "FILE")]
    pub(crate) htpasswd: Option<PathBuf>,
    /// Server certificate, followed by its chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Additional host name to answer to while listening on loopback (repeatable)
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
}
