//! Arguments of the commands for credentials, and of the small tools for registries.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::registry::{Login, Logout};

#[derive(Debug, Subcommand)]
pub(crate) enum ToolVerb {
    /// Log in to a registry
    #[command(after_help = "Examples:
  rpull login ghcr.io                                     ask for user name and password
  rpull login -u ci --password-stdin ghcr.io < token.txt
  rpull login --authfile ./auth.json localhost:5000

The credential is saved in docker's config.json, or with the credential helper that it configures.")]
    Login(Login),
    /// Log out of a registry
    #[command(
        after_help = "Examples:\n  rpull logout ghcr.io\n  rpull logout --authfile ./auth.json localhost:5000"
    )]
    Logout(Logout),
    /// Show which credential is used for a registry, and where it comes from
    #[command(after_help = "Examples:
  rpull auth                              every registry in the auth files
  rpull auth ghcr.io quay.io/team/app
  rpull auth --json docker.io | jq -r '.[].source.name'

Passwords and tokens are never printed, and no registry is asked. Helpers are run. Exits with 4 if a
file or a helper cannot be read. `anonymous` means that no source has a credential.")]
    Auth(Auth),
    /// Put one blob into a repository or a layout
    #[command(after_help = "Examples:
  rpull put-blob ghcr.io/org/app layer.tar.gz
  tar cz dir | rpull put-blob localhost:5000/app -
  rpull put-blob oci:./layout@sha256:… config.json

Prints the digest. With a digest, other bytes are refused. A blob that no manifest names is deleted
by the next cleanup of the registry, and by `rpull prune`.")]
    PutBlob(PutBlob),
    /// Put a manifest or index, byte for byte, under a name
    #[command(after_help = "Examples:
  rpull put-manifest localhost:5000/app:1 manifest.json
  rpull manifest ghcr.io/org/app:1 | rpull put-manifest ghcr.io/org/app:stable -
  rpull put-manifest oci:./layout:app index.json

Prints the digest. The document is checked as one that was pulled: kind, structure and media type
must agree. Nothing is put if blobs are missing at the target; they are listed.")]
    PutManifest(PutManifest),
}

#[derive(Debug, Args)]
pub(crate) struct Auth {
    /// Registries, or namespaces and repositories in them [default: all in the auth files]
    #[arg(value_name = "HOST[/REPO]")]
    pub(crate) registries: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PutBlob {
    /// Repository in a registry, or a location: store:NAME, oci:PATH; with the digest of the blob, if known
    #[arg(value_name = "REPO[@DIGEST]")]
    pub(crate) repository: String,
    /// File with the blob; - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Upload in chunks of this size, for proxies that limit request bodies
    #[arg(long, value_name = "SIZE")]
    pub(crate) chunk_size: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PutManifest {
    /// Name in a registry, by tag or digest, or a location: store:NAME, oci:PATH:NAME
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// File with the manifest or index; - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Media type of the document [default: the one in it, or what its structure says]
    #[arg(long, value_name = "TYPE")]
    pub(crate) media_type: Option<String>,
}
