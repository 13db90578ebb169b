//! Arguments of `serve`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::size::parse_size;
use crate::duration::parse_duration;

pub(super) const EXAMPLES: &str = "Examples:
  rpull serve                                         on 127.0.0.1:5000, local clients only
  rpull serve --addr 0.0.0.0:5000 --read-only
  rpull serve --addr 0.0.0.0:5000 --htpasswd users --tls-cert cert.pem --tls-key key.pem
  rpull serve --upstream docker.io --upstream ghcr.io --max-size 50GB
  rpull serve --upstream docker.io=https://cache.example/hub --ttl 1h --stale-if-error 7d

An image pushed to HOST:PORT/team/app:1 is localhost/team/app:1 in the store. Images of other
registries are served below their host: HOST:PORT/docker.io/library/alpine:3.14.
Create the users file with `htpasswd -B -c users ann`. Stop the server with Ctrl-C.

With --upstream the server is a read-only cache of other registries. A client names the registry by
`?ns=` (containerd), or in the path: HOST:PORT/ghcr.io/org/app:2. Docker's registry-mirrors name
none, and get the first. Credentials are those of `rpull login`, never those of clients.";

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
    /// Fetch missing content from this registry, and serve it as a cache (repeatable; the first one answers clients that name
    /// no registry)
    #[arg(long = "upstream", value_name = "NAME[=URL]")]
    pub(crate) upstreams: Vec<String>,
    /// Age up to which the answer of an upstream about a tag is used without asking again
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1m", requires = "upstreams")]
    pub(crate) ttl: Duration,
    /// Further time for which an answer is used while the upstream cannot be reached
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1d", requires = "upstreams")]
    pub(crate) stale_if_error: Duration,
    /// Size of the store beyond which the blobs that no name needs are deleted, the least recently used first
    #[arg(long, value_name = "SIZE", value_parser = max_size, requires = "upstreams")]
    pub(crate) max_size: Option<u64>,
}

fn max_size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "expected bytes such as 20GB".to_owned())
}
