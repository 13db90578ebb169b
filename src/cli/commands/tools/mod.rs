//! `login`, `logout`, `auth`, `put-blob`, `put-manifest`: credentials, and small tools for registries.

mod auth;
mod put_blob;
mod put_manifest;

use std::process::ExitCode;

use super::login;
use crate::cli::args::tools::ToolVerb;
use crate::cli::settings::Settings;
use crate::error::Result;

pub(in crate::cli) async fn run(verb: ToolVerb, settings: &Settings) -> Result<ExitCode> {
    match verb {
        ToolVerb::Login(args) => login::log_in(args, settings).await,
        ToolVerb::Logout(args) => login::log_out(args, settings).await,
        ToolVerb::Auth(args) => auth::run(args, settings).await,
        ToolVerb::PutBlob(args) => put_blob::run(args, settings).await,
        ToolVerb::PutManifest(args) => put_manifest::run(args, settings).await,
    }
}
