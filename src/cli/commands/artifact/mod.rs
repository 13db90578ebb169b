//! `artifact push`, `pull` and `attach`: files as artifacts.

mod files;
mod output_dir;
mod pull;
mod push;
mod title;

use std::process::ExitCode;

use crate::cli::args::artifact::ArtifactVerb;
use crate::cli::settings::Settings;
use crate::error::Result;

pub(in crate::cli) async fn run(verb: ArtifactVerb, settings: &Settings) -> Result<ExitCode> {
    match verb {
        ArtifactVerb::Push(args) => push::push(args, settings).await,
        ArtifactVerb::Pull(args) => pull::run(args, settings).await,
        ArtifactVerb::Attach(args) => push::attach(args, settings).await,
    }
}
