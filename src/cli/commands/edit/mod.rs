//! `append`, `mutate`, `rebase`, `flatten`, `index`: make new images of images, without an engine.

mod append;
mod flatten;
mod index;
mod job;
mod mutate;
mod rebase;

use std::process::ExitCode;

use super::artifact;
use crate::cli::args::edit::EditVerb;
use crate::cli::settings::Settings;
use crate::error::Result;

pub(in crate::cli) async fn run(verb: EditVerb, settings: &Settings) -> Result<ExitCode> {
    match verb {
        EditVerb::Append(args) => append::run(args, settings).await,
        EditVerb::Mutate(args) => mutate::run(*args, settings).await,
        EditVerb::Rebase(args) => rebase::run(args, settings).await,
        EditVerb::Flatten(args) => flatten::run(args, settings).await,
        EditVerb::Index(verb) => index::run(verb, settings).await,
        EditVerb::Artifact(verb) => artifact::run(verb, settings).await,
    }
}
