//! Arguments of `artifact`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::shared::{Writing, pair};
use crate::media::MediaType;

#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactVerb {
    /// Push files as an artifact
    #[command(after_help = "Examples:
  rpull artifact push r.example/team/notes:1 notes.txt:text/plain logo.png:image/png
  rpull artifact push --artifact-type application/vnd.example.model r.example/model:1 weights/ config.json:application/json
  rpull artifact push oci:./layout:notes notes.txt

The title of a file is its path as typed, or its name if the path is absolute or has a `..`. The type
follows the last colon. A directory becomes a tar, which `artifact pull` unpacks again.")]
    Push(ArtifactPush),
    /// Pull the files of an artifact
    #[command(after_help = "Examples:
  rpull artifact pull r.example/team/notes:1
  rpull artifact pull -o ./notes r.example/team/notes@sha256:…
  rpull artifact pull --json oci:./layout:notes | jq -r '.files[].path'

Files are verified before they get their names, and replace files of the same names; others in a
directory stay. A title that leads out of the directory is refused, and nothing is written then.
Blobs without a title are left out.")]
    Pull(ArtifactPull),
    /// Push files as an artifact that refers to an image: a signature, an SBOM
    #[command(after_help = "Examples:
  rpull artifact attach --artifact-type application/spdx+json ghcr.io/org/app:1 sbom.json:application/spdx+json
  rpull referrers ghcr.io/org/app:1

The artifact has no tag; `rpull referrers` lists it, and `rpull copy --referrers` takes it along.")]
    Attach(ArtifactAttach),
}

/// The files of an artifact, and what is said about it.
#[derive(Debug, Args)]
pub(crate) struct ArtifactContent {
    /// Files and directories, with their types
    #[arg(value_name = "FILE[:TYPE]")]
    pub(crate) files: Vec<String>,
    /// Set an annotation of the manifest (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) annotation: Vec<(String, String)>,
    /// JSON file with annotations by title; `$manifest` and `$config` for the manifest and its config
    #[arg(long, value_name = "FILE")]
    pub(crate) annotation_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactPush {
    /// Name of the artifact in a registry, or a location: store:…, oci:…, oci-archive:…
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Type of the artifact
    #[arg(long, value_name = "TYPE", default_value = "application/vnd.unknown.artifact.v1", value_parser = media_type)]
    pub(crate) artifact_type: String,
    #[command(flatten)]
    pub(crate) content: ArtifactContent,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactAttach {
    /// Image in a registry
    pub(crate) image: String,
    /// Type of the artifact
    #[arg(long, value_name = "TYPE", value_parser = media_type)]
    pub(crate) artifact_type: String,
    /// Platform as os/arch[/variant] of the manifest to refer to [default: the index, if there is one]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) content: ArtifactContent,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactPull {
    /// Artifact in a registry, or a location: store:…, oci:…, oci-archive:…
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Directory for the files
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

fn media_type(text: &str) -> Result<String, &'static str> {
    if MediaType::from(text).is_well_formed() {
        return Ok(text.to_owned());
    }
    Err("expected TYPE/SUBTYPE, such as application/spdx+json")
}
