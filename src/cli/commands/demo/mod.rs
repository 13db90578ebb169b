//! `demo`: shows layer sharing in ten seconds and without a network.

mod image;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::cli::args::{Cli, Images, Verb};
use crate::cli::listen::listen;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::signals::{self, or_cancelled};
use crate::cli::startup::check_descriptors;
use crate::cli::verb::with_verb;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, LayoutOptions};
use crate::serve::{ServeOptions, Server};

/// Slow enough to watch the progress bars.
const RATE: &str = "6M";

/// Files and sockets that server and client have open at once.
const DESCRIPTORS: usize = 96;

/// Serves two versions of an image from a temporary directory and pulls both.
pub(in crate::cli) async fn run(settings: &Settings) -> Result<ExitCode> {
    // Server and client share the limit. Without descriptors the server cannot even reject a connection.
    check_descriptors(DESCRIPTORS)?;
    let cancel = signals::cancelled_by_signals();
    let fail =
        |error| Error::new(ErrorKind::Store, "create a temporary directory").with_source(error);
    let directory = tempfile::Builder::new().prefix("rpull-demo-").tempdir().map_err(fail)?;
    let code = serve_and_show(directory.path(), settings, &cancel).await;
    remove(directory).await;
    code
}

async fn serve_and_show(
    directory: &Path,
    settings: &Settings,
    cancel: &CancellationToken,
) -> Result<ExitCode> {
    let server = or_cancelled(cancel, "demo", registry(directory)).await??;
    let (listener, address) = listen("127.0.0.1:0").await?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(listener, stop.clone()));
    let code = show(&format!("{address}/team/app"), directory, settings, cancel).await;
    stop.cancel();
    // The server's result does not matter; its layout is removed with the directory.
    drop(serving.await);
    code
}

/// Removes the directory. Retries, because a thread that was stopped may still be writing there.
async fn remove(directory: TempDir) {
    let path = directory.keep();
    for _ in 0..100 {
        drop(std::fs::remove_dir_all(&path));
        tokio::time::sleep(Duration::from_millis(20)).await;
        if !path.exists() {
            return;
        }
    }
    tracing::warn!("failed to remove {}", path.display());
}

async fn registry(directory: &Path) -> Result<Server> {
    let layout = Layout::create(&directory.join("registry"), LayoutOptions::default())?;
    for version in ["1.0", "1.1"] {
        image::build(&layout, &format!("localhost/team/app:{version}"), version).await?;
    }
    Server::new(layout, &ServeOptions { read_only: true, ..ServeOptions::default() })
}

/// Runs the commands of the demo and prints them as a user would type them.
async fn show(
    repository: &str,
    directory: &Path,
    settings: &Settings,
    cancel: &CancellationToken,
) -> Result<ExitCode> {
    let say = |text: &str| {
        if !settings.quiet {
            output::stderr_text(text);
        }
    };
    let (old, new) = (format!("{repository}:1.0"), format!("{repository}:1.1"));
    if settings.json {
        // One JSON value with both reports; the second one shows what is shared.
        return command(&[&old, &new], directory, settings).await;
    }
    let steps: [(&str, &[&str]); 4] = [
        ("Pull version 1.0: everything is transferred", &[&old]),
        ("Show what a pull of version 1.1 would transfer", &["--plan", &new]),
        ("Pull version 1.1: only the changed layer and the config", &[&new]),
        ("List the images in the store, which share their layers", &["images"]),
    ];
    for (title, arguments) in steps {
        say(&format!("\n# {title}\n$ rpull {}\n", arguments.join(" ")));
        let code = command(arguments, directory, settings).await?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
        // Check for a signal that arrived before its handler was installed.
        or_cancelled(cancel, "demo", std::future::ready(())).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs one command line with the demo's store.
async fn command(arguments: &[&str], directory: &Path, settings: &Settings) -> Result<ExitCode> {
    let arguments = ["rpull"].iter().chain(arguments).map(OsString::from).collect();
    let arguments = with_verb(arguments, |_| false)?;
    let cli = Cli::try_parse_from(arguments)
        .map_err(|error| Error::new(ErrorKind::InvalidInput, "demo").with_source(error))?;
    let mut demo_settings = settings.without_found_mirrors().with_store(directory.join("store"));
    // The registry is the demo itself.
    demo_settings.offline = false;
    match cli.verb {
        Verb::Pull(mut args) => {
            // Scripts do not watch the progress.
            args.moving.limit_rate = (!settings.json).then(|| RATE.to_owned());
            Box::pin(super::pull::run(args, &demo_settings)).await
        }
        _ => super::images::run(&Images::default(), &demo_settings).await,
    }
}
