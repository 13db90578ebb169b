//! Arguments of the commands that work on a registry alone.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Registry, or a namespace in it: ghcr.io, localhost:5000, quay.io/team
    #[arg(value_name = "HOST[/NAMESPACE]")]
    pub(crate) registry: String,
    /// User name [default: ask on the terminal]
    #[arg(short, long, value_name = "USER")]
    pub(crate) username: Option<String>,
    /// Password; visible to other users in the process list
    #[arg(short, long, value_name = "PASS", requires = "username")]
    pub(crate) password: Option<String>,
    /// Read the password from stdin
    #[arg(long, requires = "username", conflicts_with = "password")]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Registry, or a namespace in it: ghcr.io, localhost:5000, quay.io/team
    #[arg(value_name = "HOST[/NAMESPACE]")]
    pub(crate) registry: String,
}

#[derive(Debug, Args)]
pub(crate) struct Catalog {
    /// Registry: localhost:5000, registry.example.com
    #[arg(value_name = "HOST")]
    pub(crate) registry: String,
    /// List only repositories that match; * stands for any text (repeatable)
    #[arg(long, value_name = "repository=PATTERN")]
    pub(crate) filter: Vec<String>,
    /// Order of the repositories [default: that of the registry]
    #[arg(long, value_name = "KEY")]
    pub(crate) sort: Option<RepositoryOrder>,
    /// List at most N repositories
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Registry: docker.io, registry.example.com
    #[arg(value_name = "HOST")]
    pub(crate) registry: String,
}

#[derive(Debug, Args)]
pub(crate) struct Referrers {
    /// Image in a registry, or a location: store:…, oci:…, oci-archive:…
    pub(crate) image: String,
    /// List only artifacts of this type
    #[arg(long, value_name = "TYPE")]
    pub(crate) artifact_type: Option<String>,
    /// Platform as os/arch[/variant] of the manifest they refer to [default: the index, if there is one]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Tag or digest in a registry
    pub(crate) image: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tags {
    /// Repository
    #[arg(value_name = "REPO")]
    pub(crate) repository: String,
    /// List only tags that match; * stands for any text (repeatable)
    #[arg(long, value_name = "tag=PATTERN")]
    pub(crate) filter: Vec<String>,
    /// Order of the tags: by name, or the newest version first [default: that of the registry]
    #[arg(long, value_name = "KEY")]
    pub(crate) sort: Option<TagOrder>,
    /// List at most N tags
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RepositoryOrder {
    Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TagOrder {
    Name,
    Version,
}
